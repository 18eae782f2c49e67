/** What every transport between members has to do, one case each. A case throws where it is not done. */
import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Address, Transport, TransportListener, TransportListenHandlers, TransportStream } from '../../dist/network/transport.js';
import { until } from '../fixtures/network.js';

export interface Subject {
  readonly transport: Transport;
  /** A new one each time, of which nobody listens. */
  address(): Promise<Address>;
  /** The codes of a dial to nobody. */
  readonly nobody: readonly string[];
  /** What both ends prove; null for nothing. */
  readonly proof: object | null;
  /** How long something may take before it counts as never. */
  readonly patienceMs: number;
}

export interface Case {
  readonly name: string;
  run(setting: Setting): Promise<void>;
}

interface Ends {
  readonly dialled: TransportStream;
  readonly accepted: TransportStream;
}

const BUFFER_BYTES = 64 * 1024;
const MIB = 1024 * 1024;
/** A kernel takes some megabytes for a reader that does not read. */
const WAITING_BYTES_MAX = 64 * MIB;
/** As many as a listener has room for before it accepts. */
const STREAMS = 100;
const STALLED_MS = 400;
const NOTHING: TransportListenHandlers = { onStream: () => {}, onArrival: () => {}, onLost: () => {}, onError: () => {} };
/** How a connection ends that the other side has cut. */
const CUT: readonly (string | undefined)[] = ['ECONNRESET', 'EPIPE', 'ECONNABORTED'];

/** A listener and its streams, which `end` closes. */
export class Setting {
  readonly accepted: TransportStream[] = [];
  readonly failures: Error[] = [];
  readonly #ends: (() => unknown)[] = [];
  listener!: TransportListener;

  private constructor(readonly subject: Subject) {}

  static async open(subject: Subject): Promise<Setting> {
    const setting = new Setting(subject);
    setting.listener = await setting.listen(await subject.address(), (one) => {
      setting.accepted.push(one);
    });
    return setting;
  }

  async listen(address: Address, onStream: (accepted: TransportStream) => void = () => {}): Promise<TransportListener> {
    const take = (one: TransportStream): void => {
      one.stream.on('error', () => {});
      this.#ends.push(() => one.stream.destroy());
      onStream(one);
    };
    const listener = await this.subject.transport.listen(address, { ...NOTHING, onStream: take, onError: (error) => this.failures.push(error) });
    this.#ends.push(() => listener.close());
    return listener;
  }

  dial(address: Address = this.listener.address, onOpen: () => void = () => {}): TransportStream {
    const dialled = this.subject.transport.dial(address, BUFFER_BYTES, onOpen);
    dialled.stream.on('error', () => {});
    this.#ends.push(() => dialled.stream.destroy());
    return dialled;
  }

  async pair(): Promise<Ends> {
    const before = this.accepted.length;
    let opened = false;
    const dialled = this.dial(this.listener.address, () => {
      opened = true;
    });
    await this.until(() => opened && this.accepted.length > before, 'both ends');
    return { dialled, accepted: this.accepted[before]! };
  }

  until(condition: () => boolean, what: string): Promise<void> {
    return until(condition, what, this.subject.patienceMs);
  }

  async end(): Promise<void> {
    await Promise.all(this.#ends.reverse().map((end) => end()));
  }
}

/** Bytes in which every position is told from its neighbours. */
function pattern(bytes: number): Buffer {
  const made = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) made.writeUInt32LE((at * 2_654_435_761) >>> 0, at);
  return made;
}

interface Seen {
  bytes(): Buffer;
  length: number;
  ended: boolean;
  closed: boolean;
  error: string | undefined;
}

function collect({ stream }: TransportStream): Seen {
  const chunks: Buffer[] = [];
  const seen: Seen = { bytes: () => Buffer.concat(chunks), length: 0, ended: false, closed: false, error: undefined };
  stream.on('data', (chunk: Buffer) => {
    chunks.push(Buffer.from(chunk));
    seen.length += chunk.length;
  });
  stream.once('end', () => {
    seen.ended = true;
  });
  stream.once('error', (error: NodeJS.ErrnoException) => {
    seen.error = error.code ?? error.message;
  });
  stream.once('close', () => {
    seen.closed = true;
  });
  return seen;
}

const isSame = (one: Uint8Array, other: Uint8Array, what: string): void => ok(Buffer.compare(one, other) === 0, what);

export const CASES: readonly Case[] = [
  {
    name: 'bytes arrive as they were sent and in order, both ways, in small writes, corked ones and large ones',
    async run(setting) {
      const { dialled, accepted } = await setting.pair();
      const [there, back] = [collect(accepted), collect(dialled)];
      const sent = pattern(12 * MIB);
      for (let at = 0; at < 3_000; at += 30) dialled.stream.write(sent.subarray(at, at + 30));
      dialled.stream.cork();
      for (let at = 3_000; at < 100_000; at += 1_000) dialled.stream.write(sent.subarray(at, at + 1_000));
      dialled.stream.uncork();
      for (let at = 100_000; at < sent.length; at += 3 * MIB) dialled.stream.write(sent.subarray(at, at + 3 * MIB));
      accepted.stream.write(sent.subarray(0, 4 * MIB));
      await setting.until(() => there.length >= sent.length && back.length >= 4 * MIB, 'all bytes');
      isSame(there.bytes(), sent, 'other bytes came than were sent');
      isSame(back.bytes(), sent.subarray(0, 4 * MIB), 'other bytes came back than were sent');
    },
  },
  {
    name: 'what was written may be overwritten once it is said to be done',
    async run(setting) {
      const { dialled, accepted } = await setting.pair();
      const memory = Buffer.alloc(1_000, 1);
      await new Promise<void>((resolve) => dialled.stream.write(memory, () => resolve()));
      memory.fill(2);
      const there = collect(accepted);
      await setting.until(() => there.length === 1_000, 'the bytes');
      isSame(there.bytes(), Buffer.alloc(1_000, 1), 'what came had been written later');
    },
  },
  {
    name: 'nothing arrives within the call that writes it',
    async run(setting) {
      const { dialled, accepted } = await setting.pair();
      const there = collect(accepted);
      await sleep(5);
      dialled.stream.write('hello');
      strictEqual(there.length, 0, 'the reader was called by the writer');
      await setting.until(() => there.length === 5, 'the bytes');
    },
  },
  {
    name: 'who does not read holds the writer up within bounds, and no byte is lost by it',
    async run(setting) {
      const { dialled, accepted } = await setting.pair();
      const chunk = pattern(BUFFER_BYTES);
      let written = 0;
      while (written < WAITING_BYTES_MAX) {
        const goesOn = dialled.stream.write(chunk);
        written += chunk.length;
        if (goesOn) continue;
        const drained = await Promise.race([new Promise<boolean>((resolve) => dialled.stream.once('drain', () => resolve(true))), sleep(STALLED_MS, false)]);
        if (!drained) break;
      }
      ok(written < WAITING_BYTES_MAX, 'the writer is never held up');
      ok(dialled.stream.writableLength > 0 && dialled.stream.writableNeedDrain, 'nothing waits');
      ok(dialled.stream.writableLength <= 2 * BUFFER_BYTES, `${dialled.stream.writableLength} bytes wait at the writer`);
      ok(accepted.stream.readableLength <= 2 * BUFFER_BYTES, `${accepted.stream.readableLength} bytes wait at the reader`);
      let [read, intact, drained] = [0, true, false];
      dialled.stream.once('drain', () => {
        drained = true;
      });
      accepted.stream.on('data', (bytes: Buffer) => {
        for (let at = 0; at < bytes.length; ) {
          const offset = (read + at) % chunk.length;
          const part = Math.min(bytes.length - at, chunk.length - offset);
          intact &&= bytes.subarray(at, at + part).equals(chunk.subarray(offset, offset + part));
          at += part;
        }
        read += bytes.length;
      });
      await setting.until(() => read >= written && drained, 'what waited');
      strictEqual(read, written);
      ok(intact, 'other bytes came than were sent');
    },
  },
  {
    name: 'what was written before the end arrives; the end is told, and the close after it',
    async run(setting) {
      const { dialled, accepted } = await setting.pair();
      const [there, back] = [collect(accepted), collect(dialled)];
      const last = pattern(MIB);
      dialled.stream.end(last);
      await setting.until(() => there.ended, 'the end');
      isSame(there.bytes(), last, 'other bytes came than were sent');
      await setting.until(() => there.closed && back.closed, 'the close of both ends');
    },
  },
  {
    name: 'one end is over, and what the other one had written still arrives there',
    async run(setting) {
      const { dialled, accepted } = await setting.pair();
      const back = collect(dialled);
      const answer = pattern(4 * MIB);
      accepted.stream.write(answer);
      dialled.stream.end('that is all');
      const there = collect(accepted);
      await setting.until(() => there.ended && back.ended, 'both ends');
      strictEqual(there.bytes().toString(), 'that is all');
      isSame(back.bytes(), answer, 'other bytes came back than were sent');
    },
  },
  {
    name: 'one end that is destroyed closes the other',
    async run(setting) {
      const { dialled, accepted } = await setting.pair();
      const there = collect(accepted);
      dialled.stream.write('hello');
      await setting.until(() => there.length === 5, 'the bytes');
      dialled.stream.destroy();
      await setting.until(() => there.closed, 'the close');
    },
  },
  {
    name: 'one end that is destroyed with bytes on the way closes the other, which has the beginning of what was sent and nothing else',
    async run(setting) {
      const { dialled, accepted } = await setting.pair();
      const sent = pattern(4 * MIB);
      accepted.stream.write(sent);
      dialled.stream.write(sent.subarray(0, 4_000));
      dialled.stream.write(sent.subarray(4_000));
      dialled.stream.destroy();
      const there = collect(accepted);
      await setting.until(() => there.closed, 'the close');
      isSame(there.bytes(), sent.subarray(0, there.length), 'other bytes came than were sent');
      ok(there.error === undefined || CUT.includes(there.error), `it failed with ${there.error}`);
    },
  },
  {
    name: 'who writes to one that is destroyed is told so, or closed',
    async run(setting) {
      const { dialled, accepted } = await setting.pair();
      const back = collect(dialled);
      accepted.stream.destroy();
      const writing = setInterval(() => {
        if (dialled.stream.writable) dialled.stream.write(Buffer.alloc(1_000));
      }, 1);
      try {
        await setting.until(() => back.closed, 'the close');
      } finally {
        clearInterval(writing);
      }
      ok(back.error === undefined || CUT.includes(back.error), `it failed with ${back.error}`);
    },
  },
  {
    name: "a dial that nobody takes fails with the system's error, and closes; it never opens",
    async run(setting) {
      let opened = false;
      const dialled = setting.dial(await setting.subject.address(), () => {
        opened = true;
      });
      const told = collect(dialled);
      await setting.until(() => told.closed, 'the close');
      ok(setting.subject.nobody.includes(told.error ?? ''), `it failed with ${told.error}`);
      ok(!opened, 'it opened');
    },
  },
  {
    name: 'a dial that is given up before it opens never opens',
    async run(setting) {
      let opened = false;
      const dialled = setting.dial(setting.listener.address, () => {
        opened = true;
      });
      const told = collect(dialled);
      dialled.stream.write('hello');
      dialled.stream.destroy();
      await setting.until(() => told.closed, 'the close');
      await sleep(20);
      ok(!opened, 'it opened');
    },
  },
  {
    name: "a listener at an address that is taken rejects with the system's error, and the first one goes on",
    async run(setting) {
      await rejects(setting.listen(setting.listener.address), { code: 'EADDRINUSE' });
      const { dialled, accepted } = await setting.pair();
      const there = collect(accepted);
      dialled.stream.write('hello');
      await setting.until(() => there.length === 5, 'the bytes');
    },
  },
  {
    name: 'one that is closed takes nobody, and leaves its address to the next one',
    async run(setting) {
      const first = await setting.listen(await setting.subject.address());
      await first.close();
      const told = collect(setting.dial(first.address));
      await setting.until(() => told.closed, 'the close');
      ok(setting.subject.nobody.includes(told.error ?? ''), `it failed with ${told.error}`);
      const second = await setting.listen(first.address);
      deepStrictEqual(second.address, first.address);
    },
  },
  {
    name: 'one that is closed while it accepts leaves no stream open or untold',
    async run(setting) {
      const taken: Seen[] = [];
      let closed = false;
      const streams: TransportStream[] = [];
      const listener = await setting.listen(await setting.subject.address(), (one) => {
        ok(!closed, 'one was accepted after the close');
        streams.push(one);
        taken.push(collect(one));
      });
      const dialled = Array.from({ length: 40 }, () => collect(setting.dial(listener.address)));
      await setting.until(() => taken.length > 0, 'the first stream');
      const closing = listener.close();
      for (const one of streams) one.stream.destroy();
      await setting.until(() => {
        for (const one of streams) one.stream.destroy();
        return dialled.every((one) => one.closed);
      }, 'the close of all dials');
      await closing;
      closed = true;
      await setting.until(() => taken.every((one) => one.closed), 'the close of what was accepted');
      const late = collect(setting.dial(listener.address));
      await setting.until(() => late.closed, 'the close of a late dial');
      ok(setting.subject.nobody.includes(late.error ?? ''), `a late dial ended with ${late.error}`);
    },
  },
  {
    name: 'many streams at once keep their bytes apart, and each that is accepted has a name of its own',
    async run(setting) {
      const numbers = Array.from({ length: STREAMS }, (_, number) => String(number).padStart(4, '0'));
      const seen = new Map<TransportStream, Seen>();
      for (const number of numbers) {
        const { stream } = setting.dial(setting.listener.address, () => {
          stream.write(pattern(10_000));
          stream.end(number);
        });
        stream.resume();
      }
      await setting.until(() => {
        for (const one of setting.accepted) if (!seen.has(one)) seen.set(one, collect(one));
        return seen.size === STREAMS && [...seen.values()].every(({ ended }) => ended);
      }, 'all streams');
      const received = [...seen.values()].map((one) => {
        isSame(one.bytes().subarray(0, 10_000), pattern(10_000), 'other bytes came than were sent');
        return one.bytes().subarray(10_000).toString();
      });
      deepStrictEqual(received.sort(), numbers);
      strictEqual(new Set(setting.accepted.map(({ remote }) => remote)).size, STREAMS);
    },
  },
  {
    name: 'the proof is there once the stream is open, and says the same to both ends',
    async run(setting) {
      const { dialled, accepted } = await setting.pair();
      const proofs = [dialled.proof(), accepted.proof()];
      deepStrictEqual(proofs[0], proofs[1]);
      const { certificate, ...said } = proofs[0] ?? { certificate: null };
      deepStrictEqual(proofs[0] === null ? null : said, setting.subject.proof);
      strictEqual(certificate === null, setting.subject.proof === null);
    },
  },
];

/** Runs a case by itself. */
export async function runCase({ run }: Case, subject: Subject): Promise<void> {
  const setting = await Setting.open(subject);
  try {
    await run(setting);
    deepStrictEqual(setting.failures, []);
  } finally {
    await setting.end();
  }
}
