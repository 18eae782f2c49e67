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

/** A session. Order and suppression hold within a group, so each has sequences of its own. */
export class SessionState {
  readonly id: string;
  readonly bytes: Uint8Array;
  /** Of the causal lane: what the next publish follows that may not be here yet. */
  after: string | undefined;
  #last: Receipt | null = null;
  readonly #groups = new Map<number, Sequences>();

  constructor(id: string, after?: string) {
    this.id = id;
    this.after = after;
    this.bytes = parseUuid(id) ?? new Uint8Array(16);
  }

  /** A receipt of the causal lane. What it follows was here. */
  note(receipt: Receipt): void {
    this.#last = receipt;
    this.after = undefined;
  }

  get context(): string | null {
    return this.#last?.cursor ?? this.after ?? null;
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
