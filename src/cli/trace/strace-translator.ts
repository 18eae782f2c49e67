import { posix } from 'node:path';
import type { TraceOperation } from './operation.js';
import { actionsOf, descriptorPath, type FileAction, quoted } from './strace-calls.js';
import { parseCall, parseStraceLine, type StraceLine } from './strace-line.js';

type Call = Extract<StraceLine, { kind: 'call' }>;

/** Working directory of one process, or of all threads that share it. */
interface Place {
  cwd: string;
}

const CLONES: ReadonlySet<string> = new Set(['clone', 'clone3', 'fork', 'vfork']);

/**
 * Turns strace's lines into trace operations, in the order in which the calls ended.
 *
 * Only successful calls on paths within the root are kept; the root becomes `/`. An open with O_CREAT is a `create` when it has
 * O_EXCL, or when the file was not seen before in this recording: a file that existed and is opened so for the first time cannot be
 * told from a new one. A rename into the root is a `create`, one out of it an `unlink`; a link from outside is a `create`.
 */
export class StraceTranslator {
  readonly #root: string;
  readonly #places = new Map<number, Place>();
  readonly #numbers = new Map<number, number>();
  readonly #unfinished = new Map<number, Extract<StraceLine, { kind: 'unfinished' }>>();
  /** Paths known to exist, as far as this recording saw them. */
  readonly #seen = new Set<string>();
  #beganUs: number | null = null;

  /** `root` is absolute and has no symbolic link in it; the command starts in `cwd`. */
  constructor(root: string, cwd: string) {
    this.#root = root === '/' ? '' : root.replace(/\/+$/, '');
    this.#start = { cwd };
  }
  readonly #start: Place;

  /** The operations a line completes: mostly none or one. */
  push(line: string): TraceOperation[] {
    const parsed = parseStraceLine(line);
    if (parsed === null) return [];
    switch (parsed.kind) {
      case 'exited':
        this.#unfinished.delete(parsed.pid);
        return [];
      case 'unfinished':
        this.#unfinished.set(parsed.pid, parsed);
        return [];
      case 'resumed': {
        const begun = this.#unfinished.get(parsed.pid);
        this.#unfinished.delete(parsed.pid);
        if (begun?.name !== parsed.name) return [];
        const call = parseCall(parsed.pid, parsed.us, begun.text + parsed.text);
        return call?.kind === 'call' ? this.#call(call) : [];
      }
      case 'call':
        return this.#call(parsed);
    }
  }

  #call(call: Call): TraceOperation[] {
    const { pid, name, args, result } = call;
    if (result.value === null || result.value < 0) return [];
    const place = this.#place(pid);
    // strace names the working directory beside AT_FDCWD: the kernel's word over what was followed here.
    for (const argument of args) if (argument.startsWith('AT_FDCWD<')) place.cwd = descriptorPath(argument) ?? place.cwd;

    if (CLONES.has(name)) this.#born(result.value, place, args.some((argument) => argument.includes('CLONE_FS')));
    else if (name === 'chdir') place.cwd = posix.resolve(place.cwd, quoted(args[0]) ?? '.');
    else if (name === 'fchdir') place.cwd = descriptorPath(args[0]) ?? place.cwd;
    return actionsOf(name, args, result, place.cwd)
      .flatMap((action) => this.#inRoot(action))
      .map((operation) => ({ us: this.#since(call.us), pid: this.#number(pid), ...operation }));
  }

  #born(child: number, parent: Place, shares: boolean): void {
    const known = this.#places.get(child);
    if (known === undefined) this.#places.set(child, shares ? parent : { cwd: parent.cwd });
  }

  /** A process may speak before its parent's clone has returned; it then begins where that parent is. */
  #place(pid: number): Place {
    let place = this.#places.get(pid);
    if (place === undefined) {
      const parent = [...this.#unfinished.values()].find((call) => CLONES.has(call.name));
      const origin = parent === undefined ? this.#start : (this.#places.get(parent.pid) ?? this.#start);
      place = parent?.text.includes('CLONE_FS') === true ? origin : { cwd: origin.cwd };
      this.#places.set(pid, place);
    }
    return place;
  }

  #since(us: number): number {
    this.#beganUs ??= us;
    return Math.max(0, us - this.#beganUs);
  }

  #number(pid: number): number {
    let number = this.#numbers.get(pid);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#numbers.set(pid, number);
    }
    return number;
  }

  /** The path as the trace has it, or null outside the root. */
  #within(path: string): string | null {
    if (path === this.#root || path === '/') return this.#root === '' || path === this.#root ? '/' : null;
    return path.startsWith(`${this.#root}/`) ? path.slice(this.#root.length) : null;
  }

  #inRoot(action: FileAction): Omit<TraceOperation, 'us' | 'pid'>[] {
    const path = this.#within(action.path);
    if (action.op === 'rename' || action.op === 'link') return this.#twoPaths(action.op, path, this.#within(action.to));
    if (path === null) return [];
    switch (action.op) {
      case 'open':
      case 'create': {
        const isNew = action.mayCreate && (action.exclusive || !this.#seen.has(path));
        this.#seen.add(path);
        if (isNew) return [{ op: 'create', path }];
        return action.truncates ? [{ op: 'open', path }, { op: 'truncate', path, size: 0 }] : [{ op: 'open', path }];
      }
      case 'unlink':
      case 'rmdir':
        this.#seen.delete(path);
        return [{ op: action.op, path }];
      default:
        this.#seen.add(path);
        return [{ ...action, path }];
    }
  }

  #twoPaths(op: 'rename' | 'link', path: string | null, to: string | null): Omit<TraceOperation, 'us' | 'pid'>[] {
    if (op === 'rename' && path !== null) this.#forgetTree(path, to);
    if (to !== null) this.#seen.add(to);
    if (path !== null && to !== null) return [{ op, path, to }];
    if (to !== null) return [{ op: 'create', path: to }];
    return op === 'rename' && path !== null ? [{ op: 'unlink', path }] : [];
  }

  /** What was seen below a renamed path is from now on below the new one. */
  #forgetTree(path: string, to: string | null): void {
    for (const known of [...this.#seen]) {
      if (known !== path && !known.startsWith(`${path}/`)) continue;
      this.#seen.delete(known);
      if (to !== null) this.#seen.add(to + known.slice(path.length));
    }
  }
}
