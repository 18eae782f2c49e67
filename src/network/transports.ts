import type { Credentials } from './credentials.js';
import { tcp } from './tcp.js';
import { Tls } from './tls.js';
import type { Transport } from './transport.js';

/** One line a transport; each network opens one of its own. */
export const TRANSPORTS = {
  tcp: () => tcp,
  tls: (credentials) => new Tls(credentials),
} as const satisfies Record<string, (credentials: Credentials | null) => Transport>;
export type TransportName = keyof typeof TRANSPORTS;
