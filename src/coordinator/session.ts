/** A session's sequences (rule R3). */
import type { Receipt } from '../contracts/index.js';
import { parseUuid } from '../events/index.js';

/** What the publisher keeps of a session in one group. Invariant: acknowledged < next. */
export class Sequences {
  next = 1n;
  /** Highest sequence with an answer; sequences apply contiguously, so all before it have ended too. */
  acknowledged = 0n;

  /** The first of `count` sequences. */
  take(count: number): bigint {
    const first = this.next;
    this.next += BigInt(count);
    return first;
  }

  acknowledge(through: bigint): void {
    if (through > this.acknowledged) this.acknowledged = through;
  }
}

/** What is done one after the other, in the order of the calls. */
export class Turns {
  #last: Promise<void> | null = null;

  /** Nobody has a turn or waits for one. */
  get free(): boolean {
    return this.#last === null;
  }

  /** Rejects as `act` does; those behind it go on. */
  async take<T>(act: () => T | Promise<T>): Promise<T> {
    const before = this.#last;
    const acted = (async () => {
      await before;
      return act();
    })();
    const turn = acted.then(
      () => {},
      () => {},
    );
    this.#last = turn;
    try {
      return await acted;
    } finally {
      if (this.#last === turn) this.#last = null;
    }
  }
}

/** A session. Order and suppression hold within a group, so each has sequences of its own. */
export class SessionState {
  readonly id: string;
  readonly bytes: Uint8Array;
  /** Of the causal lane: what the session's publishes follow besides its own, until one has. */
  after: string | undefined;
  /** Its last receipt there. */
  last: Receipt | null = null;
  /** Of its publishes of the causal lane. */
  readonly turns = new Turns();
  /** Numbers of the publishes there that are on their way, the oldest first. */
  readonly #writes = new Set<number>();
  #lastWrite = 0;
  #context: { readonly last: Receipt | null; readonly after: string | undefined; readonly follows: Uint8Array | null } | null = null;
  readonly #groups = new Map<number, Sequences>();

  constructor(id: string, after?: string) {
    this.id = id;
    this.after = after;
    this.bytes = parseUuid(id) ?? new Uint8Array(16);
  }

  /** A receipt of the causal lane; `follows`: its event follows `after`. */
  note(receipt: Receipt, follows: boolean): void {
    this.last = receipt;
    if (follows) this.after = undefined;
  }

  /** A publish of the causal lane is on its way: what comes next in the session follows it. `ended` is called once it has. */
  write<T>(written: Promise<T>, ended: () => void): Promise<T> {
    const number = ++this.#lastWrite;
    this.#writes.add(number);
    const end = () => {
      this.#writes.delete(number);
      ended();
    };
    written.then(end, end);
    return written;
  }

  /** The last of those that are on their way; 0 where none is. */
  get writing(): number {
    return this.#writes.size === 0 ? 0 : this.#lastWrite;
  }

  /** Whether all have ended up to one. */
  hasWritten(through: number): boolean {
    const [oldest] = this.#writes;
    return oldest === undefined || oldest > through;
  }

  /** What `read` makes of what the session has written and follows in the causal lane, read again only where that has changed. */
  follows(read: (last: Receipt | null, after: string | undefined) => Uint8Array | null): Uint8Array | null {
    const { last, after } = this;
    if (last === null && after === undefined) return null;
    if (this.#context?.last !== last || this.#context.after !== after) this.#context = { last, after, follows: read(last, after) };
    return this.#context.follows;
  }

  /** What it has published to, by group. */
  get groups(): Iterable<Sequences> {
    return this.#groups.values();
  }

  in(group: number): Sequences {
    let sequences = this.#groups.get(group);
    if (sequences === undefined) {
      sequences = new Sequences();
      this.#groups.set(group, sequences);
    }
    return sequences;
  }
}
