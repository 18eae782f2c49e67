/** Reading a member's files while it is stopped: what `log verify` and `log dump` need. Nothing is written, no lock is kept. */

/** The journal of one group in one member's files. */
export interface LogGroupSummary {
  readonly group: number;
  /** First and last entry present; 0n and 0n in an empty log. */
  readonly firstIndex: bigint;
  readonly lastIndex: bigint;
  /** Commit mark on disk. It may lag behind what was acknowledged by the marks not yet written when the member ended. */
  readonly commitIndex: bigint;
  /** Term of the last entry. */
  readonly term: bigint;
  /** Events in entries up to the commit mark: accepted, suppressed as already there, refused by rule. */
  readonly events: bigint;
  readonly suppressed: bigint;
  readonly refused: bigint;
  /** Hash over the entries' bytes, index and term up to the commit mark; 16 hex digits. */
  readonly journalHash: string;
  /** The `applyHash` of a member that has applied up to the commit mark; 16 hex digits. */
  readonly applyHash: string;
}

/** Damage that is not a torn tail (rule L2). */
export interface LogDamage {
  readonly segment: string;
  /** Byte position in the segment. */
  readonly position: bigint;
  readonly reason: string;
}

export interface LogSummary {
  readonly nodeId: string;
  readonly clusterId: string;
  readonly directory: string;
  readonly segments: number;
  readonly bytes: bigint;
  /** Bytes of a torn last batch that recovery would cut off. */
  readonly tornBytes: bigint;
  readonly groups: readonly LogGroupSummary[];
  readonly damage: LogDamage | null;
}

export interface LogEvent {
  readonly offset: number;
  readonly id: string;
  /** Type code, path and sizes: for `log dump`; bytes stay in the file. */
  readonly code: number;
  readonly path: string | null;
  readonly payloadBytes: number;
}

export interface LogEntry {
  readonly index: bigint;
  readonly term: bigint;
  /** Running hash after this entry, as in `Status.applyHash`; 16 hex digits. Null below the snapshot that a journal began with: it was not applied here. */
  readonly applyHash: string | null;
  /** Events this entry adds to the journal; suppressed and refused ones are left out. */
  readonly events: readonly LogEvent[];
}

/** One member's log, opened for reading. */
export interface LogScan {
  readonly summary: LogSummary;
  /** At most `entriesMax` entries from `fromIndex` on, also those above the commit mark; empty at the end. */
  entries(group: number, fromIndex: bigint, entriesMax: number): Promise<readonly LogEntry[]>;
  close(): Promise<void>;
}

/**
 * Opens the log in `dataDir`.
 * Rejects with `DATA_DIR_IN_USE` while a node has it open, and with `DATA_DIR_UNREADABLE` where there is none; damage is reported in the summary.
 */
export type OpenLogScan = (dataDir: string) => Promise<LogScan>;
