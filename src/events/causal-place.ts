/** Where a reader of the causal lane stands (docs/formats.md, "Cursor"): of each origin what it has had, and of the next entries of some a part. */

import { LIMITS } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';

/** Who writes an origin's log. */
export interface Origin {
  readonly name: string;
  /** Raft id of the member. */
  readonly member: bigint;
  readonly incarnation: number;
}

const HEAD_BYTES = 4;
const ROW_BYTES = 20;
const PART_BYTES = 16;
const COUNT_MAX = 0xffff;
/** Behind every entry there may be another. */
const COUNTER_MAX = 2n ** 64n - 2n;
const keyOf = (member: bigint, incarnation: number): string => `${member}~${incarnation}`;

interface Row {
  readonly member: bigint;
  readonly incarnation: number;
  readonly counter: bigint;
}

interface Part {
  readonly member: bigint;
  readonly incarnation: number;
  /** First event of the origin's next entry that was not had. */
  readonly offset: number;
}

export class CausalPlace {
  readonly #rows: ReadonlyMap<string, Row>;
  readonly #parts: ReadonlyMap<string, Part>;

  private constructor(rows: ReadonlyMap<string, Row>, parts: ReadonlyMap<string, Part>) {
    this.#rows = rows;
    this.#parts = parts;
  }

  /** Before everything. */
  static readonly first = new CausalPlace(new Map(), new Map());

  /** Reads what `encode` or the core has written. Throws `CURSOR_INVALID`: whoever knows the cluster's id can make a cursor of anything. */
  static read(bytes: Uint8Array): CausalPlace {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const [rowCount, partCount] = view.length < HEAD_BYTES ? [0, 0] : [view.readUInt16LE(0), view.readUInt16LE(2)];
    if (view.length !== HEAD_BYTES + rowCount * ROW_BYTES + partCount * PART_BYTES) throw invalid('is not as long as it says');
    const rows = new Map<string, Row>();
    const parts = new Map<string, Part>();
    let at = HEAD_BYTES;
    for (let row = 0; row < rowCount; row++, at += ROW_BYTES) {
      const [member, incarnation] = [view.readBigUInt64LE(at), view.readUInt32LE(at + 8)];
      const counter = view.readBigUInt64LE(at + 12);
      if (counter > COUNTER_MAX) throw invalid('names an entry that there cannot be');
      rows.set(keyOf(member, incarnation), { member, incarnation, counter });
    }
    for (let part = 0; part < partCount; part++, at += PART_BYTES) {
      const [member, incarnation] = [view.readBigUInt64LE(at), view.readUInt32LE(at + 8)];
      parts.set(keyOf(member, incarnation), { member, incarnation, offset: view.readUInt32LE(at + 12) });
    }
    if (rows.size !== rowCount || parts.size !== partCount) throw invalid('names an actor twice');
    return new CausalPlace(rows, parts);
  }

  /** Entries of one origin that were had. */
  of({ member, incarnation }: Pick<Origin, 'member' | 'incarnation'>): bigint {
    return this.#rows.get(keyOf(member, incarnation))?.counter ?? 0n;
  }

  /** Whether all entries were had that the other has had. */
  covers(other: CausalPlace): boolean {
    return [...other.#rows.values()].every((row) => this.of(row) >= row.counter);
  }

  /** After everything that these entries name, too. */
  after(entries: Iterable<readonly [Pick<Origin, 'member' | 'incarnation'>, bigint]>): CausalPlace {
    const rows = new Map(this.#rows);
    const parts = new Map(this.#parts);
    for (const [{ member, incarnation }, counter] of entries) {
      const key = keyOf(member, incarnation);
      if (counter <= (rows.get(key)?.counter ?? 0n)) continue;
      rows.set(key, { member, incarnation, counter });
      // It was of the entry after the old one.
      parts.delete(key);
    }
    return new CausalPlace(rows, parts);
  }

  /** After an event within an entry, of which others follow. */
  within({ member, incarnation }: Origin, counter: bigint, offset: number): CausalPlace {
    const before = this.after([[{ member, incarnation }, counter - 1n]]);
    return new CausalPlace(before.#rows, new Map(before.#parts).set(keyOf(member, incarnation), { member, incarnation, offset: offset + 1 }));
  }

  /** The same, but of one origin right after an event within an entry, whatever was had of it. */
  at({ member, incarnation }: Origin, counter: bigint, offset: number): CausalPlace {
    const key = keyOf(member, incarnation);
    return new CausalPlace(new Map(this.#rows).set(key, { member, incarnation, counter: counter - 1n }), new Map(this.#parts).set(key, { member, incarnation, offset: offset + 1 }));
  }

  /** The same, but of some origins no more than this. */
  capped(limits: Iterable<readonly [Pick<Origin, 'member' | 'incarnation'>, bigint]>): CausalPlace {
    const [rows, parts] = [new Map(this.#rows), new Map(this.#parts)];
    for (const [{ member, incarnation }, limit] of limits) {
      const key = keyOf(member, incarnation);
      if ((rows.get(key)?.counter ?? 0n) <= limit) continue;
      rows.set(key, { member, incarnation, counter: limit });
      parts.delete(key);
    }
    return new CausalPlace(rows, parts);
  }

  /** After all that either names. */
  with(other: CausalPlace): CausalPlace {
    const both = this.after([...other.#rows.values()].map((row) => [row, row.counter] as const));
    const parts = new Map(both.#parts);
    for (const [key, part] of other.#parts) {
      const same = (both.#rows.get(key)?.counter ?? 0n) === (other.#rows.get(key)?.counter ?? 0n);
      if (same && part.offset > (parts.get(key)?.offset ?? 0)) parts.set(key, part);
    }
    return new CausalPlace(both.#rows, parts);
  }

  /**
   * As a submission names what its events follow: of each actor the last entry, also where a part of it alone was had. Null where that is nothing.
   * Throws `USAGE` for more actors than an event may follow.
   */
  follows(): Buffer | null {
    const last = new Map(this.#rows);
    for (const [key, { member, incarnation }] of this.#parts) last.set(key, { member, incarnation, counter: (last.get(key)?.counter ?? 0n) + 1n });
    const rows = [...last.values()].filter(({ counter }) => counter > 0n);
    if (rows.length === 0) return null;
    if (rows.length > LIMITS.followedActorsMax) {
      throw new CoordinatorError('USAGE', `the event would follow entries of ${rows.length} actors of the causal lane; ${LIMITS.followedActorsMax} are allowed`, { details: { limit: LIMITS.followedActorsMax } });
    }
    rows.sort((one, other) => (one.member === other.member ? one.incarnation - other.incarnation : one.member < other.member ? -1 : 1));
    const bytes = Buffer.alloc(HEAD_BYTES + rows.length * ROW_BYTES);
    bytes.writeUInt16LE(rows.length, 0);
    for (const [row, { member, incarnation, counter }] of rows.entries()) {
      const at = HEAD_BYTES + row * ROW_BYTES;
      bytes.writeBigUInt64LE(member, at);
      bytes.writeUInt32LE(incarnation, at + 8);
      bytes.writeBigUInt64LE(counter, at + 12);
    }
    return bytes;
  }

  /** Throws `CURSOR_INVALID` for more actors than a cursor can name: those of two that are not of this cluster. */
  encode(): Buffer {
    const [rows, parts] = [[...this.#rows.values()], [...this.#parts.values()]];
    if (rows.length > COUNT_MAX || parts.length > COUNT_MAX) throw invalid(`names more than ${COUNT_MAX} actors`);
    const bytes = Buffer.alloc(HEAD_BYTES + rows.length * ROW_BYTES + parts.length * PART_BYTES);
    bytes.writeUInt16LE(rows.length, 0);
    bytes.writeUInt16LE(parts.length, 2);
    let at = HEAD_BYTES;
    for (const { member, incarnation, counter } of rows) {
      bytes.writeBigUInt64LE(member, at);
      bytes.writeUInt32LE(incarnation, at + 8);
      bytes.writeBigUInt64LE(counter, at + 12);
      at += ROW_BYTES;
    }
    for (const { member, incarnation, offset } of parts) {
      bytes.writeBigUInt64LE(member, at);
      bytes.writeUInt32LE(incarnation, at + 8);
      bytes.writeUInt32LE(offset, at + 12);
      at += PART_BYTES;
    }
    return bytes;
  }
}

function invalid(why: string): CoordinatorError {
  return new CoordinatorError('CURSOR_INVALID', `The place of a cursor ${why}.`);
}
