/** A TCP relay in front of a node's API that loses answers: the request has passed, the connection ends where its answer would begin. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Random } from './random.js';

const FRAME_HEADER_BYTES = 9;
const DATA = 0;

/**
 * Follows the frames of HTTP/2 (RFC 9113, section 4.1) that a server sends, over whatever pieces they come in. Answers are what its
 * DATA frames carry: one for a call, and one for each message of a stream as long as messages are smaller than a frame.
 */
class Answers {
  #head = Buffer.alloc(0);
  /** Bytes of the frame's payload that are still to come. */
  #left = 0;

  /** How many bytes of `piece` come before the first answer that is to be lost; null for all of them. */
  beforeLoss(piece: Buffer, lose: () => boolean): number | null {
    let at = 0;
    while (at < piece.length) {
      if (this.#left > 0) {
        const passed = Math.min(this.#left, piece.length - at);
        this.#left -= passed;
        at += passed;
        continue;
      }
      const begun = this.#head.length;
      const start = at - begun;
      this.#head = Buffer.concat([this.#head, piece.subarray(at, at + FRAME_HEADER_BYTES - begun)]);
      at += this.#head.length - begun;
      if (this.#head.length < FRAME_HEADER_BYTES) return null;
      this.#left = this.#head.readUIntBE(0, 3);
      const isAnswer = this.#head[3] === DATA && this.#left > 0;
      this.#head = Buffer.alloc(0);
      // A header that began in the piece before has half passed already: the client gets no more of it.
      if (isAnswer && lose()) return Math.max(0, start);
    }
    return null;
  }
}

export class LossyProxy {
  answers = 0;
  lost = 0;
  readonly #sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly target: number,
    private readonly share: number,
    private readonly random: Random,
  ) {
    server.on('connection', (client) => this.#relay(client));
  }

  /** Between `port`, which is free, and `target`; of the answers `share` are lost. */
  static async start(port: number, target: number, share: number, random: Random): Promise<LossyProxy> {
    const server = createServer({ noDelay: true });
    const proxy = new LossyProxy(server, target, share, random);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
    return proxy;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #relay(client: Socket): void {
    const node = connect({ port: this.target, host: '127.0.0.1', noDelay: true });
    const answers = new Answers();
    const end = (): void => {
      client.destroy();
      node.destroy();
    };
    for (const socket of [client, node]) {
      this.#sockets.add(socket);
      socket.on('error', end);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        end();
      });
    }
    client.on('data', (piece: Buffer) => {
      if (!node.write(piece)) client.pause();
    });
    node.on('drain', () => client.resume());
    node.on('data', (piece: Buffer) => {
      if (client.destroyed) return;
      const before = answers.beforeLoss(piece, () => this.#loses());
      if (before === null) {
        if (!client.write(piece)) node.pause();
        return;
      }
      // What comes before the lost answer still arrives.
      client.end(piece.subarray(0, before));
      node.destroy();
    });
    client.on('drain', () => node.resume());
  }

  #loses(): boolean {
    this.answers += 1;
    if (!this.random.chance(this.share)) return false;
    this.lost += 1;
    return true;
  }
}
