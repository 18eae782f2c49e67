/** Reads packed ends (docs/formats.md, "Packed ends"): one buffer holds everything that ended since the last call. */

export const END = {
  accepted: 1,
  mixed: 2,
  withdrawn: 3,
  barrier: 4,
  fence: 5,
  consumer: 6,
  consumerFenced: 7,
  consumersFull: 8,
  place: 9,
  journalGrown: 10,
  nodeEnded: 11,
  notUnderstood: 12,
  membersChanged: 13,
  membersRefused: 14,
  tableChanged: 15,
  snapshotTaken: 16,
  snapshotFailed: 17,
  kept: 18,
  keptInPart: 19,
  rulesSet: 20,
  rulesRefused: 21,
} as const;

export const EVENT_OUTCOME = { accepted: 0, duplicate: 1, idReused: 2, fenced: 3, sessionExpired: 4, early: 5, forgotten: 6 } as const;

const HEADER_BYTES = 56;
const OUTCOME_BYTES = 16;

/** How one event of a mixed end fared. */
export interface EventOutcome {
  readonly code: number;
  readonly offset: number;
  readonly index: bigint;
}

/** What one event of a publish on the causal lane came to; `offset` and `index` are those of the entry where it stands. */
export interface KeptEvent extends EventOutcome {
  /** Of a new event. */
  readonly hlc: bigint;
  /** Whose entry that is, by name; empty for the one that the end names. */
  readonly actor: string;
}

/** A consumer's replicated place. */
export interface ConsumerPlace {
  readonly epoch: bigint;
  readonly acknowledged: { readonly index: bigint; readonly offset: number };
  readonly claimed: { readonly index: bigint; readonly offset: number };
}

/** One record; its fields are decoded when asked for, from bytes that belong to it. */
export class End {
  readonly #view: DataView;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get kind(): number {
    return this.#view.getUint8(4);
  }
  get appliedMembers(): number {
    return this.#view.getUint16(6, true);
  }
  get request(): number {
    return this.#view.getUint32(8, true);
  }
  get latencyUs(): number {
    return this.#view.getUint32(12, true);
  }
  get index(): bigint {
    return this.#view.getBigUint64(16, true);
  }
  get term(): bigint {
    return this.#view.getBigUint64(24, true);
  }
  get hlc(): bigint {
    return this.#view.getBigUint64(32, true);
  }
  get firstOffset(): number {
    return this.#view.getUint32(40, true);
  }
  get count(): number {
    return this.#view.getUint32(44, true);
  }
  get durableMembers(): number {
    return this.#view.getUint32(48, true);
  }

  /** Of a mixed end. */
  outcome(position: number): EventOutcome {
    const at = HEADER_BYTES + position * OUTCOME_BYTES;
    return { code: this.#view.getUint8(at), offset: this.#view.getUint32(at + 4, true), index: this.#view.getBigUint64(at + 8, true) };
  }

  /** Of a consumer's end. */
  get consumer(): ConsumerPlace {
    const u64 = (at: number) => this.#view.getBigUint64(HEADER_BYTES + at, true);
    const u32 = (at: number) => this.#view.getUint32(HEADER_BYTES + at, true);
    return { epoch: u64(0), acknowledged: { index: u64(8), offset: u32(24) }, claimed: { index: u64(16), offset: u32(28) } };
  }

  /** Of a publish on the causal lane: who wrote it, and what it follows, itself included; by name. Where nothing was new, nobody and nothing. */
  get kept(): { readonly actor: string; readonly clock: ReadonlyMap<string, bigint> } {
    const read = this.#texts();
    const actor = read.text();
    const clock = new Map<string, bigint>();
    for (let entry = 0; entry < this.count; entry++) {
      const counter = read.u64();
      clock.set(read.text(), counter);
    }
    return { actor, clock };
  }

  /** Of one of which not every event was new: what each came to. */
  get keptEvents(): KeptEvent[] {
    const read = this.#texts();
    read.text();
    for (let entry = 0; entry < this.count; entry++) {
      read.u64();
      read.text();
    }
    return Array.from({ length: this.firstOffset }, () => {
      const [code, offset] = [read.u32() & 0xff, read.u32()];
      return { code, offset, index: read.u64(), hlc: read.u64(), actor: read.text() };
    });
  }

  /** Fields of the body one after the other. */
  #texts(): { u32(): number; u64(): bigint; text(): string } {
    let at = HEADER_BYTES;
    const past = (bytes: number): number => {
      at += bytes;
      return at - bytes;
    };
    return {
      u32: () => this.#view.getUint32(past(4), true),
      u64: () => this.#view.getBigUint64(past(8), true),
      text: () => {
        const length = this.#view.getUint16(past(2), true);
        return this.#bytes.toString('utf8', past(length), at);
      },
    };
  }

  /** Of an ended node: its code and why; of a request that was not understood or a snapshot that failed: why. */
  get reason(): { code: string; text: string } {
    const codeBytes = this.kind === END.nodeEnded ? this.firstOffset : 0;
    const body = this.#bytes.subarray(HEADER_BYTES);
    return { code: body.toString('utf8', 0, codeBytes), text: body.toString('utf8', codeBytes) };
  }
}

/** Each record of a packed buffer, in order. */
export function* endsOf(packed: Buffer): Generator<End> {
  let at = 0;
  while (at < packed.length) {
    const length = packed.readUInt32LE(at);
    yield new End(packed.subarray(at, at + length));
    at += length;
  }
}
