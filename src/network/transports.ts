import { memory } from './memory.js';
import { TCP, tcp } from './tcp.js';
import { Tls } from './tls.js';
import type { Address, Shows, Transport, TransportListener, TransportListenHandlers, TransportStream } from './transport.js';
import { UNIX, unix } from './unix.js';

export type TransportKind = 'tcp' | 'unix' | 'memory';
type Open = (credentials: Shows | null, protocols: readonly string[]) => Transport;

/** One line for each kind of address; with credentials over TLS, but for what stays within a process. */
export const TRANSPORTS: Record<TransportKind, Open> = {
  tcp: (credentials, protocols) => (credentials === null ? tcp : new Tls(TCP, credentials, protocols)),
  unix: (credentials, protocols) => (credentials === null ? unix : new Tls(UNIX, credentials, protocols)),
  memory: () => memory,
};

export function kindOf(address: Address): TransportKind {
  return 'path' in address ? 'unix' : 'memory' in address ? 'memory' : 'tcp';
}

/** To every address by the transport of its kind. `protocols`: of what is spoken within TLS, where several could be. */
export function openTransport(credentials: Shows | null, protocols: readonly string[] = []): Transport {
  return new Routed(credentials, protocols);
}

class Routed implements Transport {
  readonly #protocols: readonly string[];
  readonly #open = new Map<TransportKind, Transport>();
  #credentials: Shows | null;

  constructor(credentials: Shows | null, protocols: readonly string[]) {
    this.#credentials = credentials;
    this.#protocols = protocols;
  }

  dial(address: Address, bufferBytes: number, onOpen: () => void): TransportStream {
    return this.#to(address).dial(address, bufferBytes, onOpen);
  }

  listen(address: Address, handlers: TransportListenHandlers): Promise<TransportListener> {
    return this.#to(address).listen(address, handlers);
  }

  renew(credentials: Shows): void {
    this.#credentials = credentials;
    for (const transport of this.#open.values()) transport.renew?.(credentials);
  }

  #to(address: Address): Transport {
    const kind = kindOf(address);
    const transport = this.#open.get(kind) ?? TRANSPORTS[kind](this.#credentials, this.#protocols);
    this.#open.set(kind, transport);
    return transport;
  }
}
