/** Asks who is at an address, by the handshake that members begin with, and hangs up. */
import { type Answer, decodeAnswer, encodeHello, HandshakeReader } from './hello.js';
import type { Identity, ProtocolRange } from './options.js';
import type { Credentials } from './credentials.js';
import { openTransport } from './transports.js';
import type { Address, Proof } from './transport.js';
import { judgeName, judgeProof } from './verdict.js';

export type Probed =
  /** Whether it accepts us or not. */
  | { readonly kind: 'answer'; readonly answer: Answer }
  /** The connection is refused: by the machine there, as a rule, since nobody listens. A firewall or a proxy can say the same. */
  | { readonly kind: 'silent'; readonly reason: string }
  /** Neither of the two: somebody took the connection, nothing reaches the machine, this side could not ask, or time passed. Proves nothing. */
  | { readonly kind: 'unclear'; readonly reason: string };

/** Who stops listening on a path takes it away. */
const REFUSED: readonly (string | undefined)[] = ['ECONNREFUSED', 'ENOENT'];

/** Whether the connection was refused at each address of the name. That none could be reached says nothing of who lives: the network may be cut on this side. */
function isRefused(error: Error): boolean {
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(isRefused);
  return REFUSED.includes((error as NodeJS.ErrnoException).code);
}

export function probePeer(address: Address, expectedNodeId: string, identity: Identity, protocol: ProtocolRange, timeoutMs: number, credentials: Credentials | null = null): Promise<Probed> {
  return new Promise((resolve) => {
    const reader = new HandshakeReader();
    let connected = false;
    const transport = openTransport(credentials);
    const dialled = transport.dial(address, 1, () => {
      connected = true;
      // Who is not believed is told nothing, and what he says of who lives counts for nothing.
      const refusal = judgeProof(dialled.proof(), identity);
      if (refusal !== null) return end({ kind: 'unclear', reason: refusal.reason });
      stream.write(
        encodeHello({ ...identity, life: 0n, settings: '', protocolMin: protocol.min, protocolMax: protocol.max, channel: 0, expectedNodeId, features: [], listen: '', tableVersion: 0n, neighbours: [] }),
      );
    });
    const { stream } = dialled;
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
        if (message !== null) end(probedOf(decodeAnswer(message.body), dialled.proof(), identity));
      } catch {
        end({ kind: 'unclear', reason: 'what answers there is no member' });
      }
    });
    stream.on('error', (error: Error) => {
      if (!connected && isRefused(error)) return end({ kind: 'silent', reason: error.message });
      // What is proved of who answers may be that it proves nothing.
      end({ kind: 'unclear', reason: judgeProof(dialled.proof(), identity)?.reason ?? error.message });
    });
    stream.once('close', () => end({ kind: 'unclear', reason: 'takes the connection and closes it' }));
  });
}

function probedOf(answer: Answer, proof: Proof | null, own: Identity): Probed {
  // Who refuses before a Hello is read does not say who he is.
  const misnamed = answer.nodeId === '' ? null : judgeName(proof, own, answer.nodeId);
  return misnamed === null ? { kind: 'answer', answer } : { kind: 'unclear', reason: misnamed.reason };
}
