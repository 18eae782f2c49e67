/** Asks who is at an address, by the handshake that members begin with, and hangs up. */
import { type Answer, decodeAnswer, encodeHello, HandshakeReader } from './hello.js';
import type { Identity, ProtocolRange } from './options.js';
import { tcp } from './tcp.js';
import type { Address } from './transport.js';

/** The one that answers there, whether it accepts us or not; null where nobody of this protocol does in time. */
export function probePeer(address: Address, expectedNodeId: string, identity: Identity, protocol: ProtocolRange, timeoutMs: number): Promise<Answer | null> {
  return new Promise((resolve) => {
    const reader = new HandshakeReader();
    const { stream } = tcp.dial(address, 1, () => {
      stream.write(
        encodeHello({ ...identity, settings: '', protocolMin: protocol.min, protocolMax: protocol.max, channel: 0, expectedNodeId, features: [] }),
      );
    });
    const end = (answer: Answer | null): void => {
      clearTimeout(timer);
      stream.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => end(null), timeoutMs);
    stream.on('data', (chunk: Buffer) => {
      try {
        const message = reader.push(chunk);
        if (message !== null) end(decodeAnswer(message.body));
      } catch {
        end(null);
      }
    });
    stream.on('error', () => end(null));
    stream.once('close', () => end(null));
  });
}
