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
  /** Hash over the entries' bytes, their terms and what was decided about their events, up to the commit mark; 16 hex digits. */
  readonly journalHash: string;
  /** The `applyHash` of a member that has applied up to the commit mark; 16 hex digits. */
  readonly applyHash: string;
  /** In front of a snapshot that came in their place: entries that the others have not given yet. No damage; a member that runs asks for them. */
  readonly gaps: readonly LogGap[];
}

/** Both ends included. */
export interface LogGap {
  readonly firstIndex: bigint;
  readonly lastIndex: bigint;
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
  /** The directory's own id, in hexadecimal; a copy has the same. */
  readonly directory: string;
  /** Where it is. */
  readonly dataDir: string;
  /** The `dedup.windowEvents` that the log was read with: the directory's own where it says one. */
  readonly windowEvents: number;
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

/** Committed entries without a gap, a few bytes each: enough to tell whether two journals agree. */
export interface LogRun {
  readonly firstIndex: bigint;
  /**
   * 16 bytes an entry: a hash of the entry and of what was decided about its events, then `applyHash` after it, zero where that is
   * not known since the state up to there came from a snapshot.
   */
  readonly rows: Buffer;
}

/** Where an event that was asked for was accepted. */
export interface LogSighting {
  readonly eventId: string;
  readonly index: bigint;
  readonly offset: number;
  readonly term: bigint;
}

/** Entries of one log from `from` up to, not including, `to`. */
export interface LogPart {
  readonly scan: LogScan;
  readonly from: bigint;
  readonly to: bigint;
}

/** One member's log, opened for reading. */
export interface LogScan {
  readonly summary: LogSummary;
  /** Ascending, up to the commit mark. */
  runs(group: number): readonly LogRun[];
  /** Committed events that the entries from `from` up to, not including, `to` add to the journal. */
  events(group: number, from: bigint, to: bigint): bigint;
  /** Of the events that were named when the log was opened; also above the commit mark. */
  sightings(group: number): readonly LogSighting[];
  /** Whether an event id may be twice among the committed events of the parts, each of a log opened the same way; false is certain. */
  repeats(group: number, parts: readonly LogPart[]): Promise<boolean>;
  /** At most `entriesMax` entries from `fromIndex` on, also those above the commit mark; empty at the end. */
  entries(group: number, fromIndex: bigint, entriesMax: number): Promise<readonly LogEntry[]>;
  close(): Promise<void>;
}

/**
 * Opens the log in `dataDir`, which reads all of it once; `wanted` are ids of events to be sighted.
 * Rejects with `DATA_DIR_IN_USE` while a node has it open, and with `DATA_DIR_UNREADABLE` where there is none; damage is reported in the summary.
 */
export type OpenLogScan = (dataDir: string, wanted?: readonly string[]) => Promise<LogScan>;
