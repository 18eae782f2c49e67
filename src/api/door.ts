/** The API's port where it has TLS: who shows no certificate that an authority has issued gets no further than this. */
import type { Duplex } from 'node:stream';
import { type Address, type Arrival, Arriving, machineOf, Tls, type TransportListener } from '../network/index.js';
import type { TlsFiles } from './tls.js';

/** As long as between members. */
const HANDSHAKE_MS = 5_000;
/** Clients come in greater number than members; the oldest makes room for the newest. */
const HANDSHAKES_MAX = 256;
/** Machines whose refusal was told; it is news again once one of their connections was let in. */
const REMEMBERED_MAX = 256;
const PROTOCOLS = ['h2'];

export interface DoorPorts {
  /** A connection whose certificate is believed, and of which nothing was read. */
  enter(stream: Duplex): void;
  warn(message: string): void;
}

export class Door {
  readonly #ports: DoorPorts;
  readonly #tls: Tls;
  readonly #arriving = new Map<Arrival, Arriving>();
  readonly #told = new Set<string>();
  #listener: TransportListener | null = null;

  constructor(files: TlsFiles, ports: DoorPorts) {
    this.#ports = ports;
    this.#tls = new Tls(unrevoked(files), PROTOCOLS);
  }

  renew(files: TlsFiles): void {
    this.#tls.renew(unrevoked(files));
  }

  /** Resolves with the bound address; rejects with the system's error. */
  async listen(address: Address): Promise<Address> {
    this.#listener = await this.#tls.listen(address, {
      onArrival: (arrival) => this.#onArrival(arrival),
      onStream: (accepted, arrival) => {
        const arriving = arrival === null ? undefined : this.#arriving.get(arrival);
        arriving?.end();
        const proof = accepted.proof();
        if (arriving !== undefined && proof !== null && proof.fault === null) {
          this.#enter(accepted.stream, accepted.remote);
          return;
        }
        accepted.stream.destroy();
        // One that was dropped meanwhile has been told of.
        if (arriving !== undefined) this.#tell(accepted.remote, proof?.fault ?? 'it proves nothing');
      },
      onLost: (arrival, reason) => {
        this.#arriving.get(arrival)?.end();
        if (reason !== null) this.#tell(arrival.remote, reason);
      },
      // It goes on listening.
      onError: () => {},
    });
    return this.#listener.address;
  }

  /** Stops accepting; who was let in stays. */
  async close(): Promise<void> {
    const closing = this.#listener?.close();
    for (const arriving of [...this.#arriving.values()]) arriving.drop();
    await closing;
  }

  #onArrival(arrival: Arrival): void {
    const ports = { onTimeout: () => {}, onEnd: () => void this.#arriving.delete(arrival) };
    this.#arriving.set(arrival, new Arriving(arrival, HANDSHAKE_MS, ports));
    const [oldest] = this.#arriving.values();
    if (this.#arriving.size > HANDSHAKES_MAX) oldest?.drop();
  }

  #enter(stream: Duplex, remote: string): void {
    this.#told.delete(machineOf(remote));
    // A connection that is reset ends its calls; there is nobody else to tell.
    stream.on('error', () => {});
    this.#ports.enter(stream);
  }

  #tell(remote: string, reason: string): void {
    const machine = machineOf(remote);
    if (this.#told.has(machine)) return;
    if (this.#told.size >= REMEMBERED_MAX) this.#told.clear();
    this.#told.add(machine);
    this.#ports.warn(`the API refused a connection from ${remote}: ${reason}`);
  }
}

/** Who comes with a revoked certificate is told so by the answer to its call. */
const unrevoked = ({ ca, cert, key }: TlsFiles): TlsFiles & { readonly revoked: readonly string[] } => ({ ca, cert, key, revoked: [] });
