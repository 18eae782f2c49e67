import { tcp } from './tcp.js';
import type { Transport } from './transport.js';

/** One line a transport. */
export const TRANSPORTS = { tcp } as const satisfies Record<string, Transport>;
export type TransportName = keyof typeof TRANSPORTS;
