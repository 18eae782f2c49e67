/** The system's sockets: what plain and encrypted connections of a network, or of a machine, have in common. */
import { createServer, type ListenOptions, type Server, type ServerOpts, Socket, type SocketConstructorOpts, type TcpSocketConnectOpts } from 'node:net';
import { type Address, formatAddress, type Transport, type TransportListener, type TransportListenHandlers, type TransportStream } from './transport.js';

/** One kind of them. */
export interface Sockets {
  /** Throws for an address of another kind. */
  target(address: Address): Pick<TcpSocketConnectOpts, 'host' | 'port'> | { readonly path: string };
  /** Before it is connected. */
  tune(socket: Socket): void;
  readonly accepted: ServerOpts;
  /** The other end of one that was accepted. */
  remoteOf(socket: Socket): string;
  /** Resolves once listening; rejects with the system's error. */
  listen(server: Server, address: Address): Promise<TransportListener>;
}

/** Bytes as they are. */
export class Plain implements Transport {
  readonly #sockets: Sockets;

  constructor(sockets: Sockets) {
    this.#sockets = sockets;
  }

  dial(address: Address, bufferBytes: number, onOpen: () => void): TransportStream {
    // The constructor hands stream options on; the type declarations know only the socket's own.
    const options = { writableHighWaterMark: bufferBytes } as SocketConstructorOpts;
    const socket = new Socket(options);
    this.#sockets.tune(socket);
    socket.once('connect', onOpen);
    socket.connect(this.#sockets.target(address));
    return { stream: socket, remote: formatAddress(address), proof: provesNothing };
  }

  listen(address: Address, handlers: TransportListenHandlers): Promise<TransportListener> {
    const server = createServer(this.#sockets.accepted, (socket) => {
      handlers.onStream({ stream: socket, remote: this.#sockets.remoteOf(socket), proof: provesNothing }, null);
    });
    tellErrors(server, handlers);
    return this.#sockets.listen(server, address);
  }
}

const provesNothing = (): null => null;

/** Of a server that listens; until then its errors are those of `listen`. */
export function tellErrors(server: Server, { onError }: Pick<TransportListenHandlers, 'onError'>): void {
  server.on('error', (error) => {
    if (server.listening) onError(error);
  });
}

/** Resolves once the server listens; rejects with the system's error. */
export function listening(server: Server, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

export const closed = (server: Server): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
