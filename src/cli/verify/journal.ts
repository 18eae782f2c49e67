import type { LogEntry, LogGroupSummary, LogRun, LogScan } from '../../contracts/logscan.js';

const PAGE_ENTRIES = 512;
/** Bytes of a row, and where in it the hash after the entry is. */
const ROW_BYTES = 16;
const HASH_AT = 8;

/** One member's journal of one group. */
export class Journal {
  readonly #runs: readonly LogRun[];

  constructor(
    readonly nodeId: string,
    /** Position of the member among those that are compared. */
    readonly member: number,
    readonly group: LogGroupSummary,
    readonly scan: LogScan,
  ) {
    this.#runs = scan.runs(group.group);
  }

  /** Indexes at which committed entries begin to be here, or cease to be. */
  bounds(): bigint[] {
    const { firstIndex, commitIndex } = this.group;
    return [firstIndex, commitIndex + 1n, ...this.#runs.flatMap((run) => [run.firstIndex, endOf(run)])];
  }

  /** Whether a commit mark says that it has the entry. */
  promises(index: bigint): boolean {
    return this.group.firstIndex > 0n && index <= this.group.commitIndex && !isSilent(this.group, index);
  }

  /** The rows from `from` up to `to`, no bound of the journal lying between, or null where they are not here. */
  rows(from: bigint, to: bigint): Buffer | null {
    const run = this.#runs.find((one) => one.firstIndex <= from && from < endOf(one));
    return run === undefined ? null : run.rows.subarray(Number(from - run.firstIndex) * ROW_BYTES, Number(to - run.firstIndex) * ROW_BYTES);
  }

  async at(index: bigint): Promise<LogEntry | null> {
    const [entry] = await this.scan.entries(this.group.group, index, 1);
    return entry?.index === index ? entry : null;
  }

  /** The entries from `from` up to, not including, `to`. */
  async *entries(from: bigint, to: bigint): AsyncGenerator<LogEntry> {
    for (let next = from; ; ) {
      const page = await this.scan.entries(this.group.group, next, PAGE_ENTRIES);
      for (const entry of page) {
        if (entry.index >= to) return;
        yield entry;
        next = entry.index + 1n;
      }
      if (page.length === 0) return;
    }
  }
}

/** Whether a journal says nothing of an entry: it begins behind it, or a snapshot came in its place. */
export function isSilent({ firstIndex, gaps }: LogGroupSummary, index: bigint): boolean {
  return index < firstIndex || gaps.some((gap) => gap.firstIndex <= index && index <= gap.lastIndex);
}

/** Position of the first row in which two journals differ, or null. */
export function firstDifference(one: Buffer, other: Buffer): number | null {
  if (one.equals(other)) return null;
  const rows = Math.min(one.length, other.length) / ROW_BYTES;
  for (let row = 0; row < rows; row++) {
    const at = row * ROW_BYTES;
    if (one.readBigUInt64LE(at) !== other.readBigUInt64LE(at)) return row;
    const [hash, otherHash] = [one.readBigUInt64LE(at + HASH_AT), other.readBigUInt64LE(at + HASH_AT)];
    if (hash !== otherHash && hash !== 0n && otherHash !== 0n) return row;
  }
  return null;
}

function endOf(run: LogRun): bigint {
  return run.firstIndex + BigInt(run.rows.length / ROW_BYTES);
}
