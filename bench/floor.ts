/** What no commit can beat here: one fdatasync of this disk and one round trip of this machine's loopback. */
import { closeSync, fdatasyncSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { Member } from './member.js';
import { closeRoom, openRoom } from './rooms.js';
import { median, Samples } from './samples.js';

const BLOCK_BYTES = 4096;
const MESSAGE_BYTES = 256;
const WARMUP = 20;

/** Medians in milliseconds. */
export interface FloorTimes {
  readonly append: number;
  readonly overwrite: number;
  readonly roundTrip: number;
}

export class Floor {
  readonly #directory: string;
  readonly #samples: number;
  readonly #peer: Member;
  readonly #socket: Socket;
  #resolve: () => void = () => {};
  #missing = 0;

  private constructor(directory: string, samples: number, peer: Member, socket: Socket) {
    this.#directory = directory;
    this.#samples = samples;
    this.#peer = peer;
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#missing -= chunk.length;
      if (this.#missing === 0) this.#resolve();
    });
  }

  /** `samples`: how many times each is measured a round. */
  static async open(parent: string, samples: number): Promise<Floor> {
    const peer = new Member('echo');
    const socket = connect({ host: '127.0.0.1', port: await peer.call('echo'), noDelay: true });
    await once(socket, 'connect');
    return new Floor(openRoom(parent, 'floor'), samples, peer, socket);
  }

  async measure(): Promise<FloorTimes> {
    return { append: this.#append(), overwrite: this.#overwrite(), roundTrip: await this.#roundTrip() };
  }

  async close(): Promise<void> {
    this.#socket.destroy();
    await this.#peer.close();
    closeRoom(this.#directory);
  }

  /** fdatasync of a block appended to a growing file; the write before it is not counted. */
  #append(): number {
    return this.#synced('append', (file, block) => {
      writeSync(file, block);
    });
  }

  /** The same, of a block of a file that was written before. */
  #overwrite(): number {
    const zeros = Buffer.alloc(BLOCK_BYTES * (this.#samples + WARMUP));
    return this.#synced('overwrite', (file, block, at) => {
      if (at === 0) {
        writeSync(file, zeros, 0, zeros.length, 0);
        fdatasyncSync(file);
      }
      writeSync(file, block, 0, block.length, at * BLOCK_BYTES);
    });
  }

  #synced(name: string, write: (file: number, block: Buffer, at: number) => void): number {
    const block = Buffer.alloc(BLOCK_BYTES, 1);
    const file = openSync(join(this.#directory, name), 'w');
    const times = new Samples();
    for (let at = 0; at < this.#samples + WARMUP; at++) {
      write(file, block, at);
      const began = performance.now();
      fdatasyncSync(file);
      if (at >= WARMUP) times.add(performance.now() - began);
    }
    ftruncateSync(file, 0);
    closeSync(file);
    return median(times.values());
  }

  async #roundTrip(): Promise<number> {
    const message = Buffer.alloc(MESSAGE_BYTES, 1);
    const times = new Samples();
    for (let at = 0; at < this.#samples + WARMUP; at++) {
      const began = performance.now();
      await new Promise<void>((resolve) => {
        this.#resolve = resolve;
        this.#missing = MESSAGE_BYTES;
        this.#socket.write(message);
      });
      if (at >= WARMUP) times.add(performance.now() - began);
    }
    return median(times.values());
  }
}
