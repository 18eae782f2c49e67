/** Asks who is at an address, by the handshake that members begin with, and hangs up. */
import { type Answer, decodeAnswer, encodeHello, HandshakeReader } from './hello.js';
import type { Identity, ProtocolRange } from './options.js';
import { tcp } from './tcp.js';
import type { Address } from './transport.js';

export type Probed =
  /** Whether it accepts us or not. */
  | { readonly kind: 'answer'; readonly answer: Answer }
  /** The system says that nobody listens there, or that nothing reaches it. */
  | { readonly kind: 'silent'; readonly reason: string }
  /** Neither of the two: somebody took the connection, this side could not ask, or time passed. Proves nothing. */
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
    // That time has passed proves nothing: the kernel takes connections for a process that hangs, packets get lost, and this process may have been busy itself.
    const timer = setTimeout(() => {
      const reason = connected ? `takes the connection but does not answer within ${timeoutMs} ms` : `no connection within ${timeoutMs} ms`;
      end({ kind: 'unclear', reason });
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
