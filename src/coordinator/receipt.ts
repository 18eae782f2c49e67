/** Receipts of the ordered lane (rules R1, R2). Those of one batch share what they have in common. */
import { inspect } from 'node:util';
import type { Lane, Level, Receipt } from '../contracts/index.js';
import { type CursorCodec, formatUuid } from '../events/index.js';

/** What all receipts of one end share. */
export interface ReceiptBatch {
  readonly cursors: CursorCodec;
  readonly requestedLevel: Level;
  readonly rule: string | null;
  readonly group: number;
  readonly durableMembers: number;
  readonly latencyUs: number;
  /** The events' ids, 16 bytes each. */
  readonly ids: Uint8Array;
}

/** Where one event stands. */
export interface Place {
  readonly index: bigint;
  readonly offset: number;
  readonly term: bigint;
  readonly hlc: bigint;
  readonly duplicate: boolean;
}

/** Fields that cost something are computed when asked for; JSON and inspection show them all. */
export class OrderedReceipt implements Receipt {
  readonly #batch: ReceiptBatch;
  readonly #position: number;
  readonly #place: Place;
  readonly #hlcStep: number;

  /** `step`: events before this one that share `place` (a uniform batch has one place for all). */
  constructor(batch: ReceiptBatch, position: number, place: Place, step: number) {
    this.#batch = batch;
    this.#position = position;
    this.#place = place;
    this.#hlcStep = step;
  }

  get eventId(): string {
    return formatUuid(this.#batch.ids, this.#position * 16);
  }
  /** An end comes only when its level was reached: committed and applied here, and for strong at the quorum asked for. */
  get level(): Level {
    return this.#batch.requestedLevel;
  }
  get requestedLevel(): Level {
    return this.#batch.requestedLevel;
  }
  get lane(): Lane {
    return 'ordered';
  }
  get group(): number {
    return this.#batch.group;
  }
  get index(): bigint {
    return this.#place.index;
  }
  get offset(): number {
    return this.#place.offset + this.#hlcStep;
  }
  get term(): bigint {
    return this.#place.term;
  }
  get cursor(): string {
    return this.#batch.cursors.encode({ group: this.group, index: this.index, offset: this.offset });
  }
  get durableMembers(): number {
    return this.#batch.durableMembers;
  }
  get clock(): null {
    return null;
  }
  get hlc(): bigint {
    return this.#place.hlc + BigInt(this.#hlcStep);
  }
  get degraded(): boolean {
    return false;
  }
  get rule(): string | null {
    return this.#batch.rule;
  }
  get certificate(): null {
    return null;
  }
  get duplicate(): boolean {
    return this.#place.duplicate;
  }
  get latencyUs(): number {
    return this.#batch.latencyUs;
  }

  toJSON(): Record<string, unknown> {
    return jsonOfReceipt(this);
  }

  [inspect.custom](): Receipt {
    return fieldsOf(this);
  }
}

/** All that a receipt says, whose fields are accessors. */
export function fieldsOf({ eventId, level, requestedLevel, lane, group, index, offset, term, cursor, durableMembers, clock, hlc, degraded, rule, certificate, duplicate, latencyUs }: Receipt): Receipt {
  return { eventId, level, requestedLevel, lane, group, index, offset, term, cursor, durableMembers, clock, hlc, degraded, rule, certificate, duplicate, latencyUs };
}

/** The same with u64 as decimal strings. */
export function jsonOfReceipt(receipt: Receipt): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fieldsOf(receipt)).map(([name, value]) => [name, typeof value === 'bigint' ? value.toString() : value]));
}
