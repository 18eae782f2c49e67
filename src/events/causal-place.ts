/** Where a reader of the causal lane stands (docs/formats.md, "Cursor"): of each origin what it has had, and of one entry a part. */

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
const keyOf = (member: bigint, incarnation: number): string => `${member}~${incarnation}`;

interface Row {
  readonly member: bigint;
  readonly incarnation: number;
  readonly counter: bigint;
}

export class CausalPlace {
  readonly #rows: ReadonlyMap<string, Row>;
  readonly #part: { readonly origin: Origin; readonly offset: number } | null;

  private constructor(rows: ReadonlyMap<string, Row>, part: { readonly origin: Origin; readonly offset: number } | null) {
    this.#rows = rows;
    this.#part = part;
  }

  /** Before everything. */
  static readonly first = new CausalPlace(new Map(), null);

  /** Reads what the core writes; a part of an entry that is behind it is left to the core. */
  static read(bytes: Uint8Array): CausalPlace {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const rows = new Map<string, Row>();
    for (let row = 0; row < view.readUInt16LE(0); row++) {
      const at = HEAD_BYTES + row * ROW_BYTES;
      const [member, incarnation] = [view.readBigUInt64LE(at), view.readUInt32LE(at + 8)];
      rows.set(keyOf(member, incarnation), { member, incarnation, counter: view.readBigUInt64LE(at + 12) });
    }
    return new CausalPlace(rows, null);
  }

  /** After everything that these entries name, too. */
  after(entries: Iterable<readonly [Origin, bigint]>): CausalPlace {
    const rows = new Map(this.#rows);
    for (const [{ member, incarnation }, counter] of entries) {
      if (counter > 0n) rows.set(keyOf(member, incarnation), { member, incarnation, counter });
    }
    return new CausalPlace(rows, null);
  }

  /** After an event within an entry, of which others follow. */
  within(origin: Origin, counter: bigint, offset: number): CausalPlace {
    return new CausalPlace(this.after([[origin, counter - 1n]]).#rows, { origin, offset: offset + 1 });
  }

  encode(): Buffer {
    const rows = [...this.#rows.values()];
    const part = this.#part;
    const bytes = Buffer.alloc(HEAD_BYTES + rows.length * ROW_BYTES + (part === null ? 0 : PART_BYTES));
    bytes.writeUInt16LE(rows.length, 0);
    bytes.writeUInt16LE(part === null ? 0 : 1, 2);
    for (const [row, { member, incarnation, counter }] of rows.entries()) {
      const at = HEAD_BYTES + row * ROW_BYTES;
      bytes.writeBigUInt64LE(member, at);
      bytes.writeUInt32LE(incarnation, at + 8);
      bytes.writeBigUInt64LE(counter, at + 12);
    }
    if (part !== null) {
      const at = bytes.length - PART_BYTES;
      bytes.writeBigUInt64LE(part.origin.member, at);
      bytes.writeUInt32LE(part.origin.incarnation, at + 8);
      bytes.writeUInt32LE(part.offset, at + 12);
    }
    return bytes;
  }
}
