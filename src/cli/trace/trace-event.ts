import type { EventInput, JsonValue } from '../../contracts/index.js';
import { lineInvalid, type TraceOperation } from './operation.js';

/** Event type of each operation; `setattr` depends on what it sets. */
const TYPE_OF: Readonly<Record<string, string>> = {
  create: 'FilesystemCreate',
  open: 'FilesystemRead',
  read: 'FilesystemRead',
  readdir: 'FilesystemRead',
  readlink: 'FilesystemRead',
  lookup: 'FilesystemRead',
  getattr: 'FilesystemRead',
  release: 'FilesystemRead',
  write: 'FilesystemWrite',
  rename: 'FilesystemRename',
  chmod: 'FilesystemChmod',
  chown: 'FilesystemChown',
  truncate: 'FilesystemTruncate',
  unlink: 'FilesystemDelete',
  mkdir: 'FilesystemMkdir',
  rmdir: 'FilesystemRmdir',
  symlink: 'FilesystemSymlink',
  link: 'FilesystemHardlink',
  fsync: 'SystemSync',
  flush: 'SystemSync',
  init: 'SystemMount',
  destroy: 'SystemUnmount',
};

const TWO_PATHS: ReadonlySet<string> = new Set(['rename', 'link']);
const CARRIED = ['bytes', 'size', 'mode', 'target', 'uid', 'gid', 'atime', 'mtime'] as const;

export interface TraceEvent {
  readonly event: EventInput;
  /** Reads stay local unless a caller wants them too. */
  readonly isRead: boolean;
}

/** By the field it sets; with several, mode before owner before size before times. */
function setattrType(operation: TraceOperation): string | undefined {
  if (operation.mode !== undefined) return 'FilesystemChmod';
  if (operation.uid !== undefined || operation.gid !== undefined) return 'FilesystemChown';
  if (operation.size !== undefined) return 'FilesystemTruncate';
  if (operation.atime !== undefined || operation.mtime !== undefined) return 'FilesystemWrite';
  return undefined;
}

/** The event that VexFS reports for an operation. Throws `LINE_INVALID` for an operation it has none for. */
export function eventOfOperation(operation: TraceOperation, line: number): TraceEvent {
  const { op, path, to } = operation;
  const type = op === 'setattr' ? setattrType(operation) : Object.hasOwn(TYPE_OF, op) ? TYPE_OF[op] : undefined;
  if (type === undefined) {
    throw lineInvalid(line, op === 'setattr' ? 'setattr sets no field that is known.' : `op is ${JSON.stringify(op)}; allowed: ${Object.keys(TYPE_OF).join(', ')}, setattr.`);
  }
  if (TWO_PATHS.has(op) && to === undefined) throw lineInvalid(line, `${op} has no second path, to.`);
  const metadata: Record<string, JsonValue> = { op };
  for (const name of CARRIED) {
    const value = operation[name];
    if (value !== undefined) metadata[name] = value;
  }
  return { event: { type, path, ...(to === undefined ? {} : { to }), metadata }, isRead: type === 'FilesystemRead' };
}
