/** Snapshot files and stopped members' directories, as the offline commands see them. */

export interface TableMember {
  readonly id: string;
  readonly role: 'voter' | 'learner' | 'removed';
  /** Null where only each node's own settings know it. */
  readonly address: string | null;
}

/** What is in a snapshot file that was read to its end and found whole. */
export interface SnapshotContents {
  readonly clusterId: string;
  readonly group: number;
  readonly index: bigint;
  readonly term: bigint;
  /** The agreed table; it is in group 0's snapshots alone. */
  readonly members: readonly TableMember[];
  readonly events: bigint;
  readonly sessions: number;
  readonly consumers: number;
  /** Length of the file. */
  readonly bytes: bigint;
  /** 16 hex digits. */
  readonly digest: string;
  readonly applyHash: string;
}

/** Where a group goes on from. */
export interface Resumed {
  readonly group: number;
  readonly index: bigint;
}

/** What a stopped member's directory holds of a group. */
export interface HeldGroup {
  readonly group: number;
  readonly snapshotIndex: bigint;
  readonly lastIndex: bigint;
  /** The commit mark on disk, which may lag behind what was acknowledged. */
  readonly commitIndex: bigint;
  readonly term: bigint;
  readonly events: bigint;
}

export interface HeldDirectory {
  readonly nodeId: string;
  readonly clusterId: string;
  /** The directory's own id, 16 bytes. */
  readonly directory: Uint8Array;
  readonly incarnation: bigint;
  readonly groups: readonly HeldGroup[];
  readonly members: readonly TableMember[];
  /**
   * Who may be able to go on without this member, as far as the directory knows: of one of these lists, a majority of each set of voters.
   * They are those of the table and of every Raft configuration that may be in force; a voter whose name the table does not know yet is
   * `#` and 16 hex digits.
   */
  readonly quorums: readonly (readonly (readonly string[])[])[];
}
