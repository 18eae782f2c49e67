/** The API's port. Where it has TLS, who shows a certificate that no authority has issued gets no further than this, nor who shows none where none but certificates count. */
import { lookup } from 'node:dns/promises';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Address, type Arrival, Arriving, NOTHING_SHOWN, openTransport, type Proof, type Transport, type TransportListener, type TransportStream } from '../network/index.js';
import type { Connections } from './connections.js';
import type { ServedFiles } from './tls.js';
import type { Told } from './told.js';

/** As long as between members. */
const HANDSHAKE_MS = 5_000;
/** Clients come in greater number than members; the oldest makes room for the newest. */
const HANDSHAKES_MAX = 256;
const PROTOCOLS = ['h2'];
/** As of ::1, which localhost may stand for on a machine without IPv6. */
const NOT_HERE: readonly string[] = ['EADDRNOTAVAIL', 'EAFNOSUPPORT'];

export interface DoorPorts {
  readonly connections: Connections;
  /** A connection of which nothing was read. */
  enter(stream: Duplex): void;
  readonly told: Told;
}

export interface DoorOptions {
  /** Null for a plain port. */
  readonly files: ServedFiles | null;
  /** Whether who shows no certificate may show a token. */
  readonly takesTokens: boolean;
}

export class Door {
  readonly #ports: DoorPorts;
  readonly #options: DoorOptions;
  readonly #transport: Transport;
  readonly #arriving = new Map<Arrival, Arriving>();
  #listeners: TransportListener[] = [];

  constructor(options: DoorOptions, ports: DoorPorts) {
    this.#ports = ports;
    this.#options = options;
    this.#transport = openTransport(options.files === null ? null : unrevoked(options.files), PROTOCOLS);
  }

  renew(files: ServedFiles): void {
    this.#transport.renew?.(unrevoked(files));
  }

  /** Resolves with the bound address; its port is the same at each address of this machine that the host's name stands for. Rejects with the system's error. */
  async listen(address: Address): Promise<Address> {
    if (!('host' in address)) {
      const listener = await this.#listen(address);
      this.#listeners.push(listener);
      return listener.address;
    }
    const { host, port } = address;
    const hosts = new Set((await lookup(host, { all: true })).map(({ address }) => address));
    let bound = port;
    let missing: unknown = null;
    for (const one of hosts) {
      try {
        const listener = await this.#listen({ host: one, port: bound });
        this.#listeners.push(listener);
        if ('port' in listener.address) bound = listener.address.port;
      } catch (error) {
        if (!NOT_HERE.includes(String((error as NodeJS.ErrnoException).code))) {
          await this.close();
          throw error;
        }
        missing = error;
      }
    }
    if (this.#listeners.length === 0) throw missing;
    return { host, port: bound };
  }

  get #isEncrypted(): boolean {
    return this.#options.files !== null;
  }

  #listen(address: Address): Promise<TransportListener> {
    return this.#transport.listen(address, {
      onArrival: (arrival) => this.#onArrival(arrival),
      onStream: (accepted, arrival) => this.#onStream(accepted, arrival),
      onLost: (arrival, reason) => {
        this.#arriving.get(arrival)?.end();
        if (reason !== null) this.#refuse(arrival.remote, reason);
      },
      // It goes on listening.
      onError: () => {},
    });
  }

  /** Stops accepting; who was let in stays. */
  async close(): Promise<void> {
    const closing = this.#listeners.map((listener) => listener.close());
    for (const arriving of [...this.#arriving.values()]) arriving.drop();
    await Promise.all(closing);
  }

  #onArrival(arrival: Arrival): void {
    const ports = { onTimeout: () => {}, onEnd: () => void this.#arriving.delete(arrival) };
    this.#arriving.set(arrival, new Arriving(arrival, HANDSHAKE_MS, ports));
    const [oldest] = this.#arriving.values();
    if (this.#arriving.size > HANDSHAKES_MAX) oldest?.drop();
  }

  #onStream(accepted: TransportStream, arrival: Arrival | null): void {
    const { stream, remote } = accepted;
    if (!this.#isEncrypted) {
      this.#enter(accepted, null);
      return;
    }
    const arriving = arrival === null ? undefined : this.#arriving.get(arrival);
    arriving?.end();
    const proof = accepted.proof();
    const fault = proof === null ? 'it proves nothing' : proof.fault === NOTHING_SHOWN && this.#options.takesTokens ? null : proof.fault;
    if (arriving !== undefined && fault === null) {
      this.#enter(accepted, proof);
      return;
    }
    stream.destroy();
    // One that was dropped meanwhile has been told of.
    if (arriving !== undefined && fault !== null) this.#refuse(remote, fault);
  }

  #enter({ stream, remote }: TransportStream, proof: Proof | null): void {
    const { connections, told, enter } = this.#ports;
    // A connection that is reset ends its calls; there is nobody else to tell.
    stream.on('error', () => {});
    const shown = proof?.certificate ?? null;
    const certificate = shown === null ? null : { ...shown, holder: proof?.holder ?? null };
    const isOpen = !this.#isEncrypted && !this.#options.takesTokens;
    const refusal = connections.enter({ stream, remote, certificate, isEncrypted: this.#isEncrypted }, isOpen);
    if (refusal !== null) told.tell(remote, `a connection from ${remote}: ${refusal.message}`);
    else if (certificate !== null) told.forget(remote);
    // All that the library tells of a call's connection, and what a socket of a path does not say.
    if ((stream as Socket).remoteAddress === undefined) Object.defineProperty(stream, 'remoteAddress', { value: remote });
    enter(stream);
  }

  #refuse(remote: string, reason: string): void {
    this.#ports.connections.counts.handshakesRefused += 1;
    this.#ports.told.tell(remote, `a connection from ${remote}: ${reason}`);
  }
}

/** Who comes with a revoked certificate is told so by the answer to its call. */
const unrevoked = ({ ca, cert, key }: ServedFiles): ServedFiles & { readonly revoked: readonly string[] } => ({ ca, cert, key, revoked: [] });
