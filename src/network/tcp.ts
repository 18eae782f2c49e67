import type { AddressInfo, Server, Socket } from 'node:net';
import type { HostPort } from '../config/index.js';
import { CoordinatorError } from '../errors/index.js';
import { closed, listening, Plain, type Sockets } from './sockets.js';
import { type Address, formatAddress, type Transport, type TransportListener } from './transport.js';

/** Idle time after which the kernel asks whether the other machine is still there. */
const KEEPALIVE_MS = 5_000;
const BACKLOG = 128;

/** TCP, without delay for small segments. */
export const TCP: Sockets = {
  target: hostPortOf,
  accepted: { noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS },

  tune(socket: Socket): void {
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEPALIVE_MS);
  },

  remoteOf(socket: Socket): string {
    return formatAddress({ host: socket.remoteAddress ?? '?', port: socket.remotePort ?? 0 });
  },

  async listen(server: Server, address: Address): Promise<TransportListener> {
    await listening(server, { ...hostPortOf(address), backlog: BACKLOG });
    const { address: host, port } = server.address() as AddressInfo;
    return { address: { host, port }, close: () => closed(server) };
  },
};

export const tcp: Transport = new Plain(TCP);

function hostPortOf(address: Address): HostPort {
  if (!('host' in address)) throw new CoordinatorError('INTERNAL', `${formatAddress(address)} is not an address of TCP`);
  return { host: address.host, port: address.port };
}
