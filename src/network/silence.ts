/**
 * How long a connection may go without an acknowledgement. Where a line drops packets without a word, neither end hears of it, and
 * the kernel sends again at intervals that double to two minutes: after a minute's outage the connection would be of no use for
 * another one. One that is given up is dialled anew, at intervals of seconds.
 */
import type { Duplex } from 'node:stream';
import type { PeerCore } from './port.js';

/** The system's number of the socket below, also below TLS; null where there is none. Node has no call for it; the field is in every release. */
export function descriptorOf(stream: Duplex): number | null {
  const descriptor = (stream as Duplex & { readonly _handle?: { readonly fd?: unknown } | null })._handle?.fd;
  return typeof descriptor === 'number' && descriptor >= 0 ? descriptor : null;
}

/** Where it cannot be limited, the kernel's own patience stands. */
export function limitSilence(stream: Duplex, core: PeerCore, silenceMs: number): void {
  const descriptor = descriptorOf(stream);
  if (descriptor !== null) core.giveUpAfter(descriptor, silenceMs);
}
