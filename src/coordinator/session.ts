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
class Turns {
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
  readonly #causal = new Turns();
  readonly #writes = new Set<Promise<unknown>>();
  #context: { readonly last: Receipt | null; readonly after: string | undefined; readonly follows: Uint8Array | null } | null = null;
  readonly #ordered = new Map<number, Turns>();
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

  /** Resolves, in the order of the calls, once `wait` has. Rejects as it does; those behind it go on. */
  async inTurn(wait: (() => Promise<void>) | null): Promise<void> {
    if (wait === null && this.#causal.free) return;
    await this.#causal.take(async () => wait?.());
  }

  /** A publish of the causal lane is on its way: what comes next in the session follows it. */
  write<T>(written: Promise<T>): Promise<T> {
    const ended = written.then(
      () => {},
      () => {},
    );
    this.#writes.add(ended);
    void ended.finally(() => this.#writes.delete(ended));
    return written;
  }

  /** Resolves once those have ended that were on their way at the call; null where none is. */
  get writes(): Promise<unknown> | null {
    return this.#writes.size === 0 ? null : Promise.all(this.#writes);
  }

  /** What `read` makes of what the session has written and follows in the causal lane, read again only where that has changed. */
  follows(read: (last: Receipt | null, after: string | undefined) => Uint8Array | null): Uint8Array | null {
    const { last, after } = this;
    if (last === null && after === undefined) return null;
    if (this.#context?.last !== last || this.#context.after !== after) this.#context = { last, after, follows: read(last, after) };
    return this.#context.follows;
  }

  /** The turns in which it is decided where publishes to a group go. */
  turns(group: number): Turns {
    let turns = this.#ordered.get(group);
    if (turns === undefined) {
      turns = new Turns();
      this.#ordered.set(group, turns);
    }
    return turns;
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
