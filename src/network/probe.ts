/** Asks who is at an address, by the handshake that members begin with, and hangs up. */
import { type Answer, decodeAnswer, encodeHello, HandshakeReader } from './hello.js';
import type { Identity, ProtocolRange } from './options.js';
import { tcp } from './tcp.js';
import type { Address } from './transport.js';

export type Probed =
  /** Whether it accepts us or not. */
  | { readonly kind: 'answer'; readonly answer: Answer }
  /** Nobody listens there, or nothing reaches it. */
  | { readonly kind: 'silent'; readonly reason: string }
  /** Neither of the two: somebody took the connection, or this side could not ask. Proves nothing. */
  | { readonly kind: 'unclear'; readonly reason: string };

/** What the system says when nobody is there. Anything else, a name that does not resolve or too many open files, is of this side. */
const NOBODY = ['ECONNREFUSED', 'EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH', 'ETIMEDOUT'];

export function probePeer(address: Address, expectedNodeId: string, identity: Identity, protocol: ProtocolRange, timeoutMs: number): Promise<Probed> {
  return new Promise((resolve) => {
    const reader = new HandshakeReader();
    let connected = false;
    const { stream } = tcp.dial(address, 1, () => {
      connected = true;
      stream.write(
        encodeHello({ ...identity, life: 0n, settings: '', protocolMin: protocol.min, protocolMax: protocol.max, channel: 0, expectedNodeId, features: [], listen: '', tableVersion: 0n, neighbours: [] }),
      );
    });
    const end = (probed: Probed): void => {
      clearTimeout(timer);
      stream.destroy();
      resolve(probed);
    };
    // The kernel takes connections for a process that is stopped or hangs: only who takes none is silent.
    const timer = setTimeout(() => {
      if (connected) end({ kind: 'unclear', reason: `takes the connection but does not answer within ${timeoutMs} ms` });
      else end({ kind: 'silent', reason: `no connection within ${timeoutMs} ms` });
    }, timeoutMs);
    stream.on('data', (chunk: Buffer) => {
      try {
        const message = reader.push(chunk);
        if (message !== null) end({ kind: 'answer', answer: decodeAnswer(message.body) });
      } catch {
        end({ kind: 'unclear', reason: 'what answers there is no member' });
      }
    });
    stream.on('error', (error: NodeJS.ErrnoException) => {
      end({ kind: !connected && NOBODY.includes(error.code ?? '') ? 'silent' : 'unclear', reason: error.message });
    });
    stream.once('close', () => end({ kind: 'unclear', reason: 'takes the connection and closes it' }));
  });
}
