import { posix } from 'node:path';
import { type StraceResult, unescapeText } from './strace-line.js';

/** The system calls that are traced; the question mark lets strace pass over those a machine does not have. */
export const TRACED_CALLS = [
  'open,openat,openat2,creat',
  'read,pread64,readv,preadv,preadv2,write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range',
  'getdents,getdents64,fsync,fdatasync,truncate,ftruncate',
  'unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mkdir,mkdirat,rmdir',
  'chmod,fchmod,fchmodat,fchmodat2,chown,lchown,fchown,fchownat',
  'chdir,fchdir,clone,clone3,fork,vfork',
]
  .join(',')
  .split(',')
  .map((name) => `?${name}`)
  .join(',');

/** What a call did to files, with absolute paths of the machine. */
export type FileAction =
  | { readonly op: 'create' | 'open'; readonly path: string; readonly exclusive: boolean; readonly truncates: boolean; readonly mayCreate: boolean }
  | { readonly op: 'read' | 'write'; readonly path: string; readonly bytes: number }
  | { readonly op: 'readdir' | 'fsync' | 'unlink' | 'rmdir' | 'mkdir' | 'chown'; readonly path: string }
  | { readonly op: 'truncate'; readonly path: string; readonly size: number }
  | { readonly op: 'chmod'; readonly path: string; readonly mode: string }
  | { readonly op: 'rename' | 'link'; readonly path: string; readonly to: string }
  | { readonly op: 'symlink'; readonly path: string; readonly target: string };

const QUOTED = /^"((?:[^"\\]|\\.)*)"(\.\.\.)?$/s;
const ANNOTATED = /^(?:-?\d+|AT_FDCWD)<([^>]*)>/;

/** The string of a quoted argument; null when it is none, was cut short or is no UTF-8. */
export function quoted(argument: string | undefined): string | null {
  const match = QUOTED.exec(argument ?? '');
  return match === null || match[2] !== undefined ? null : unescapeText(match[1] ?? '');
}

/** The path of a descriptor argument, such as `3</tmp/x>`; null for a socket, a pipe, or a file without a name any more. */
export function descriptorPath(argument: string | undefined): string | null {
  const match = ANNOTATED.exec(argument ?? '');
  if (match === null || (argument ?? '').endsWith('(deleted)')) return null;
  const path = unescapeText(match[1] ?? '');
  return path?.startsWith('/') === true && !path.endsWith(' (deleted)') ? path : null;
}

/**
 * What a successful call did, in the order it did it; empty for a call that touched no file of a known name.
 * `cwd` is the process's working directory. Paths are resolved by their text; only an opened file's is the kernel's own.
 */
export function actionsOf(name: string, args: readonly string[], result: StraceResult, cwd: string): FileAction[] {
  const value = result.value ?? -1;
  const plain = (at: number): string | null => {
    const text = quoted(args[at]);
    return text === null || text === '' ? null : posix.resolve(cwd, text);
  };
  /** A directory descriptor and a path relative to it; an empty path means the descriptor itself. */
  const relative = (at: number): string | null => {
    const text = quoted(args[at + 1]);
    const base = descriptorPath(args[at]) ?? (args[at] === 'AT_FDCWD' ? cwd : null);
    if (text === null) return null;
    return text.startsWith('/') ? posix.normalize(text) : base === null ? null : posix.resolve(base, text);
  };
  const one = (path: string | null, make: (path: string) => FileAction): FileAction[] => (path === null ? [] : [make(path)]);
  const two = (op: 'rename' | 'link', path: string | null, to: string | null): FileAction[] => (path === null || to === null ? [] : [{ op, path, to }]);
  const moved = (op: 'read' | 'write', at: number): FileAction[] => (value > 0 ? one(descriptorPath(args[at]), (path) => ({ op, path, bytes: value })) : []);
  const opened = (asked: string | null, flags: string): FileAction[] => {
    // O_TMPFILE makes a file without a name.
    if (flags.includes('O_TMPFILE')) return [];
    const has = (flag: string) => flags.split(/[|\s,{}=]/).includes(flag);
    return one(result.path?.startsWith('/') === true ? result.path : asked, (path) => ({
      op: 'open',
      path,
      exclusive: has('O_EXCL') && has('O_CREAT'),
      mayCreate: has('O_CREAT'),
      truncates: has('O_TRUNC'),
    }));
  };
  const sized = (path: string | null, at: number) => one(path, (path) => ({ op: 'truncate', path, size: Number(args[at]) }));
  const moded = (path: string | null, at: number) => one(path, (path) => ({ op: 'chmod', path, mode: args[at] ?? '' }));

  switch (name) {
    case 'open':
      return opened(plain(0), args[1] ?? '');
    case 'openat':
    case 'openat2':
      return opened(relative(0), args[2] ?? '');
    case 'creat':
      return opened(plain(0), 'O_WRONLY|O_CREAT|O_TRUNC');
    case 'read':
    case 'pread64':
    case 'readv':
    case 'preadv':
    case 'preadv2':
      return moved('read', 0);
    case 'write':
    case 'pwrite64':
    case 'writev':
    case 'pwritev':
    case 'pwritev2':
      return moved('write', 0);
    case 'sendfile':
      return [...moved('read', 1), ...moved('write', 0)];
    case 'copy_file_range':
      return [...moved('read', 0), ...moved('write', 2)];
    case 'getdents':
    case 'getdents64':
      return value > 0 ? one(descriptorPath(args[0]), (path) => ({ op: 'readdir', path })) : [];
    case 'fsync':
    case 'fdatasync':
      return one(descriptorPath(args[0]), (path) => ({ op: 'fsync', path }));
    case 'truncate':
      return sized(plain(0), 1);
    case 'ftruncate':
      return sized(descriptorPath(args[0]), 1);
    case 'unlink':
      return one(plain(0), (path) => ({ op: 'unlink', path }));
    case 'unlinkat':
      return one(relative(0), (path) => ({ op: args[2]?.includes('AT_REMOVEDIR') === true ? 'rmdir' : 'unlink', path }));
    case 'rmdir':
      return one(plain(0), (path) => ({ op: 'rmdir', path }));
    case 'mkdir':
      return one(plain(0), (path) => ({ op: 'mkdir', path }));
    case 'mkdirat':
      return one(relative(0), (path) => ({ op: 'mkdir', path }));
    case 'rename':
      return two('rename', plain(0), plain(1));
    case 'renameat':
    case 'renameat2':
      return two('rename', relative(0), relative(2));
    case 'link':
      return two('link', plain(0), plain(1));
    case 'linkat':
      return two('link', relative(0), relative(2));
    case 'symlink':
      return one(plain(1), (path) => ({ op: 'symlink', path, target: quoted(args[0]) ?? '' }));
    case 'symlinkat':
      return one(relative(1), (path) => ({ op: 'symlink', path, target: quoted(args[0]) ?? '' }));
    case 'chmod':
      return moded(plain(0), 1);
    case 'fchmod':
      return moded(descriptorPath(args[0]), 1);
    case 'fchmodat':
    case 'fchmodat2':
      return moded(relative(0), 2);
    case 'chown':
    case 'lchown':
      return one(plain(0), (path) => ({ op: 'chown', path }));
    case 'fchown':
      return one(descriptorPath(args[0]), (path) => ({ op: 'chown', path }));
    case 'fchownat':
      return one(relative(0), (path) => ({ op: 'chown', path }));
    default:
      return [];
  }
}
