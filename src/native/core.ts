/** The application's door into the core: an open node as an opaque handle. */
import { addon, type NativeStatus, type OpenedNode, type OpenOptions } from './addon.js';
import { type End, endsOf } from './ends.js';
import { calling, fromNative } from './errors.js';

/** What the core said to a request that was handed in. */
export const TAKEN = { yes: 0, full: 1, ended: 2, unknownGroup: 3, diverged: 4, clockAhead: 5 } as const;

export class Core {
  readonly #native = addon();
  readonly #opened: OpenedNode;
  #token: number | null = null;

  private constructor(opened: OpenedNode) {
    this.#opened = opened;
  }

  /**
   * Opens a data directory and starts the node's threads; recovery runs off this thread.
   * Rejects with `DATA_DIR_IN_USE`, `DATA_DIR_MISMATCH`, `DATA_DIR_UNREADABLE`, `LOG_DAMAGED`, `STATE_LOST`, `SNAPSHOT_INVALID`, `DISK_FULL` or `CONFIG_INVALID`.
   */
  static async open(options: OpenOptions): Promise<Core> {
    const native = calling(addon);
    try {
      return new Core(await native.openNode(options));
    } catch (thrown) {
      throw fromNative(thrown);
    }
  }

  get handle(): number {
    return this.#opened.handle;
  }
  /** How often the directory was opened for writing, this time included. */
  get incarnation(): bigint {
    return this.#opened.incarnation;
  }
  /** The directory's own id, 16 bytes. */
  get directory(): Uint8Array {
    return this.#opened.directory;
  }
  get tornBytes(): bigint {
    return this.#opened.tornBytes;
  }

  /** Microseconds that opening took: the log's files, and the groups' snapshots. */
  get openedUs(): { readonly log: number; readonly state: number } {
    return { log: this.#opened.logUs, state: this.#opened.stateUs };
  }

  /** Has `onEnd` called for everything that ends, in order. */
  attach(onEnd: (end: End) => void): void {
    this.#token = this.#native.attachApp(this.handle, (packed) => {
      for (const end of endsOf(packed)) onEnd(end);
    });
  }

  /** Hands in a packed submission (docs/formats.md); its bytes are free again afterwards. Answers one of `TAKEN`. */
  submit(request: number, submission: Uint8Array, appliedQuorum: number): number {
    return calling(() => this.#native.submit(this.handle, request, submission, appliedQuorum));
  }

  /** Hands in packed events for the causal lane; as `submit`. */
  publish(request: number, submission: Uint8Array): number {
    return calling(() => this.#native.publish(this.handle, request, submission));
  }

  barrier(request: number, group: number): number {
    return calling(() => this.#native.requestBarrier(this.handle, request, group));
  }

  withdraw(request: number, group: number): number {
    return calling(() => this.#native.withdraw(this.handle, request, group));
  }

  /** Asks where an event id, 16 bytes, stands. */
  find(request: number, group: number, id: Uint8Array): number {
    return calling(() => this.#native.findEvent(this.handle, request, group, id));
  }

  /** The core's number for a peer in outbound batches; a new one if it was not known. */
  slotOf(nodeId: string): number {
    return calling(() => this.#native.addPeer(this.handle, nodeId));
  }

  /** Hands in a packed member command (docs/formats.md, "Member commands"). Answers one of `TAKEN`. */
  memberCommand(request: number, command: Uint8Array): number {
    return calling(() => this.#native.memberCommand(this.handle, request, command));
  }

  /** Hands in packed rules of replication (docs/formats.md). Answers one of `TAKEN`. */
  setReplication(request: number, rules: Uint8Array): number {
    return calling(() => this.#native.setReplication(this.handle, request, rules));
  }

  /** The rules as agreed on, packed, behind their version. */
  replicationRules(): Buffer {
    return calling(() => this.#native.replicationRules(this.handle));
  }

  /** Has a member lead a group; the status shows whether it came to be. Answers one of `TAKEN`. */
  transferLeadership(group: number, nodeId: string): number {
    return calling(() => this.#native.transferLeadership(this.handle, group, nodeId));
  }

  /** Asks that every group led here be led elsewhere; `leads` tells when it is done. */
  handOver(): number {
    return calling(() => this.#native.handOver(this.handle));
  }

  /** Whether this node leads any group. */
  leads(): boolean {
    return calling(() => this.#native.leads(this.handle));
  }

  /** Has a snapshot taken of a group's state as it is now. Answers one of `TAKEN`. */
  takeSnapshot(request: number, group: number): number {
    return calling(() => this.#native.takeSnapshot(this.handle, request, group));
  }

  /**
   * Packed deliveries of a group from (`index`, `offset`) on, at most `bytesMax` and one event more; index 0 for the
   * journal's beginning. `filter` is a `FilterHandle`'s number or 0. Throws `CURSOR_COMPACTED` for a place before the beginning,
   * `STATE_DIVERGED` where this member has applied something else than a majority. They end in front of what follows something that is not
   * delivered here in the causal lane.
   */
  readJournal(group: number, index: bigint, offset: number, bytesMax: number, eventsMax: number, filter: number): Buffer {
    return calling(() => this.#native.readJournal(this.handle, group, index, offset, bytesMax, eventsMax, filter));
  }

  /** As `readJournal`, the delivery at one place, whatever it follows. */
  readPlace(group: number, index: bigint, offset: number): Buffer {
    return calling(() => this.#native.readPlace(this.handle, group, index, offset));
  }

  /** Whether the journal's growth is to be told. */
  watchJournal(watched: boolean): void {
    calling(() => this.#native.watchJournal(this.handle, watched));
  }

  /** Whether the causal lane's growth is to be told. */
  watchCausal(watched: boolean): void {
    calling(() => this.#native.watchCausal(this.handle, watched));
  }

  /** How far a group's journal goes: what `readJournal` can see. */
  appliedIndex(group: number): bigint {
    return calling(() => this.#native.appliedIndex(this.handle, group));
  }

  /** Where a group's journal begins. */
  firstIndex(group: number): bigint {
    return calling(() => this.#native.firstIndex(this.handle, group));
  }

  status(): NativeStatus {
    return calling(() => this.#native.nodeStatus(this.handle));
  }

  /** For tests of rule R14: the next fdatasync takes `ms` milliseconds longer. */
  holdNextSync(ms: number): void {
    calling(() => this.#native.holdNextSync(this.handle, ms));
  }

  /** Ends the node and frees the directory; a second call does no harm. */
  async close(): Promise<void> {
    // Detached first: a node that is closed is not found any more, and the two would keep each other in memory.
    if (this.#token !== null) this.#native.detachApp(this.handle, this.#token);
    this.#token = null;
    await this.#native.closeNode(this.handle);
  }
}

/** Raft id of a node id (docs/formats.md, "Submission"). */
export function raftId(nodeId: string): bigint {
  return addon().raftId(nodeId);
}
