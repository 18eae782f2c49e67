/** What the network counts. Gauges (`…Now`) say how it is; the rest only grows. */
export const COUNTERS = [
  'bytesSent',
  'bytesReceived',
  'batches',
  /** Bytes for a link that was down. */
  'bytesDropped',
  'linksUpNow',
  'inboundNow',
  'handshakesNow',
  'dials',
  'dialsFailed',
  'refusedOutbound',
  'accepted',
  'refusedInbound',
  /** Of the refused, in either direction: for what a certificate is, or for whom. */
  'certificatesRefused',
  /** Connections that ended within their TLS handshake, or began none. */
  'tlsErrors',
  /** Connections closed for bytes that were no handshake, or that the core rejected. */
  'protocolErrors',
  /** Of these, for what was packed: damaged, or larger than it may be. */
  'compressionErrors',
  'handshakeTimeouts',
  /** Handshakes dropped because too many were under way. */
  'handshakesDisplaced',
  'blocked',
  /** Connections given up because too much waited in them. */
  'overflows',
  'acceptErrors',
] as const;
export type CounterName = (typeof COUNTERS)[number];
export type NetworkStats = { readonly [name in CounterName]: number };

/**
 * Counters in memory that two threads share: the network writes, the application reads, and no message passes.
 * A reader may see one counter ahead of another, never a half-written one on the 64-bit platforms we build for.
 */
export class Counters {
  readonly shared: SharedArrayBuffer;
  readonly #values: Float64Array;

  constructor(shared = new SharedArrayBuffer(COUNTERS.length * Float64Array.BYTES_PER_ELEMENT)) {
    this.shared = shared;
    this.#values = new Float64Array(shared);
  }

  add(name: CounterName, amount = 1): void {
    const at = INDEX[name];
    this.#values[at] = (this.#values[at] ?? 0) + amount;
  }

  read(): NetworkStats {
    return Object.fromEntries(COUNTERS.map((name, at) => [name, this.#values[at] ?? 0])) as Record<CounterName, number>;
  }
}

const INDEX = Object.fromEntries(COUNTERS.map((name, at) => [name, at])) as Record<CounterName, number>;
