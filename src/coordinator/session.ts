/** A session's sequences (rule R3). */
import { parseUuid } from '../events/index.js';

/** What the publisher keeps of a session. Invariant: acknowledged < next. */
export class SessionState {
  readonly id: string;
  readonly bytes: Uint8Array;
  next = 1n;
  /** Highest sequence with an answer; sequences apply contiguously, so all before it have ended too. */
  acknowledged = 0n;

  constructor(id: string) {
    this.id = id;
    this.bytes = parseUuid(id) ?? new Uint8Array(16);
  }

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
