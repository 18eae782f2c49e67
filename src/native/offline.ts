/** Snapshot files and stopped members' directories: looked into, restored from, recovered. */
import type { HeldDirectory, Resumed, SnapshotContents, TableMember } from '../contracts/index.js';
import { addon, type NativeTableMember, type RecoverOptions, type RestoreOptions } from './addon.js';
import { fromNative } from './errors.js';
import { keepSettings, USUAL_WINDOW_EVENTS, windowOf } from './settings.js';

/** As members have it unless configured otherwise. */
const SEGMENT_BYTES = 64 * 1024 * 1024;

/** Settings of the members that the files are of, where they are neither the usual ones nor in the directory. */
export interface FileSettings {
  readonly windowEvents?: number;
  readonly segmentBytes?: number;
}

/** Reads all of a snapshot file. Rejects with `SNAPSHOT_INVALID`. */
export async function inspectSnapshot(path: string): Promise<SnapshotContents> {
  const found = await coded(() => addon().inspectSnapshot(path));
  const { clusterId, group, index, term, events, sessions, consumers, bytes } = found;
  return { clusterId, group, index, term, members: membersOf(found.table), events, sessions, consumers, bytes, digest: hex(found.digest), applyHash: hex(found.applyHash) };
}

/** Makes a new data directory. Rejects with `SNAPSHOT_INVALID`, `SNAPSHOT_WRONG_CLUSTER`, `DATA_DIR_NOT_EMPTY` or `DATA_DIR_IN_USE`; nothing is changed then. */
export async function restoreSnapshots(options: Omit<RestoreOptions, 'windowEvents' | 'segmentBytes'> & FileSettings): Promise<Resumed[]> {
  const settings = { windowEvents: USUAL_WINDOW_EVENTS, segmentBytes: SEGMENT_BYTES, ...options };
  const resumed = await coded(() => addon().restoreSnapshots(settings));
  // Ids beyond it were cut off: no member of the new cluster may count with more.
  await keepSettings(options.dataDir, { windowEvents: settings.windowEvents, restoredGroups: resumed.length });
  return resumed;
}

/** What a stopped member's directory holds; nothing is changed. Rejects with `DATA_DIR_IN_USE`, `DATA_DIR_UNREADABLE`, `LOG_DAMAGED` or `STATE_LOST`, and with `CONFIG_INVALID` where the directory says that its settings are others. */
export async function lookAtDirectory(dataDir: string, settings: FileSettings = {}): Promise<HeldDirectory> {
  const windowEvents = await windowOf(dataDir, settings.windowEvents);
  const found = await coded(() => addon().lookAtDirectory(dataDir, windowEvents));
  const { nodeId, clusterId, directory, incarnation, groups, quorums } = found;
  return { nodeId, clusterId, directory, incarnation, groups, members: membersOf(found.table), quorums };
}

/** Founds a cluster again in a stopped member's directory, with this member alone. Rejects as `lookAtDirectory`, and with `DATA_DIR_MISMATCH` or `DISK_FULL`. */
export async function recoverDirectory(options: Omit<RecoverOptions, 'windowEvents' | 'segmentBytes'> & FileSettings): Promise<Resumed[]> {
  const windowEvents = await windowOf(options.dataDir, options.windowEvents);
  return coded(() => addon().recoverDirectory({ segmentBytes: SEGMENT_BYTES, ...options, windowEvents }));
}

async function coded<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (thrown) {
    throw fromNative(thrown);
  }
}

/** By id. */
function membersOf(table: readonly NativeTableMember[]): TableMember[] {
  const members = table.map(({ id, role, address }) => ({ id, role: role as TableMember['role'], address: address === '' ? null : address }));
  return members.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function hex(value: bigint): string {
  return value.toString(16).padStart(16, '0');
}
