import { type AddressInfo, createServer, type Server, Socket, type SocketConstructorOpts } from 'node:net';
import { type Address, formatAddress, type Transport, type TransportListener, type TransportListenHandlers, type TransportStream } from './transport.js';

/** Idle time after which the kernel asks whether the other machine is still there. */
const KEEPALIVE_MS = 5_000;
const BACKLOG = 128;

/** Plain TCP, without delay for small segments. */
export const tcp: Transport = {
  dial(address: Address, bufferBytes: number, onOpen: () => void): TransportStream {
    // The constructor hands stream options on; the type declarations know only the socket's own.
    const options = { writableHighWaterMark: bufferBytes } as SocketConstructorOpts;
    const socket = new Socket(options);
    tune(socket);
    socket.once('connect', onOpen);
    socket.connect({ host: address.host, port: address.port });
    return { stream: socket, remote: formatAddress(address), proof: provesNothing };
  },

  listen(address: Address, handlers: TransportListenHandlers): Promise<TransportListener> {
    const server = createServer(LISTEN_OPTIONS, (socket) => {
      handlers.onStream({ stream: socket, remote: remoteOf(socket), proof: provesNothing }, null);
    });
    return listenOn(server, address, handlers);
  },
};

const provesNothing = (): null => null;

/** What every transport over TCP asks of its sockets. */
export const LISTEN_OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS } as const;

export function tune(socket: Socket): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEPALIVE_MS);
}

export function remoteOf(socket: Socket): string {
  return formatAddress({ host: socket.remoteAddress ?? '?', port: socket.remotePort ?? 0 });
}

export function listenOn(server: Server, address: Address, handlers: TransportListenHandlers): Promise<TransportListener> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address.host, port: address.port, backlog: BACKLOG }, () => {
      server.off('error', reject);
      server.on('error', (error) => handlers.onError(error));
      const bound = server.address() as AddressInfo;
      resolve({
        address: { host: bound.address, port: bound.port },
        close: () => new Promise((closed) => server.close(() => closed())),
      });
    });
  });
}
