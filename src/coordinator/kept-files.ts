/**
 * Files whose contents a node uses: read at the start, looked at every second, and taken up anew when they have changed. Those that
 * are not good are refused, and what was there before goes on.
 */
import { stat } from 'node:fs/promises';
import { CoordinatorError } from '../errors/index.js';

const LOOK_MS = 1_000;
/** Whom the mode of a file must not let read or write. Its group may: many a supervisor hands out keys so. */
const OTHERS = 0o006;

export interface FilesChange {
  /** `same`: whoever asked is told that there is nothing new. */
  readonly state: 'taken' | 'refused' | 'same';
  readonly sentence: string;
}

export interface FileKind<T> {
  /** How a sentence speaks of them, as "the certificate files". */
  readonly name: string;
  readonly paths: readonly string[];
  /** Rejects where the files are not good. */
  read(): Promise<T>;
  isSame(one: T, other: T): boolean;
  /** The sentence of who has taken them up. */
  taken(value: T): string;
  onChange(change: FilesChange): void;
}

export class KeptFiles<T> {
  readonly #kind: FileKind<T>;
  readonly #listeners = new Set<(value: T) => void>();
  #current: T;
  #refusal: string | null = null;
  /** The refusal that nobody is told once more. */
  #told: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** How the files looked when they were last read, and at the last look. */
  #read: string;
  #seen: string;
  #reading: Promise<FilesChange> | null = null;

  private constructor(kind: FileKind<T>, current: T, looks: string) {
    this.#kind = kind;
    this.#current = current;
    this.#read = looks;
    this.#seen = looks;
  }

  /** Rejects as `read` does. */
  static async open<T>(kind: FileKind<T>): Promise<KeptFiles<T>> {
    const looks = await looksOf(kind.paths);
    return new KeptFiles(kind, await kind.read(), looks);
  }

  get current(): T {
    return this.#current;
  }

  /** `listener` is called with what is taken up from now on. */
  onTaken(listener: (value: T) => void): void {
    this.#listeners.add(listener);
  }

  watch(): void {
    this.#timer ??= setInterval(() => void this.#look(), LOOK_MS).unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#listeners.clear();
  }

  /** Reads the files now. Never rejects: what is wrong with them is the change that it answers. */
  reload(): Promise<FilesChange> {
    this.#told = null;
    return this.#readAgain();
  }

  /** Why health is degraded: the files are not those that are used. Null where they are. */
  get refusal(): string | null {
    return this.#refusal === null ? null : this.#refusedBecause(this.#refusal);
  }

  get #isOne(): boolean {
    return this.#kind.paths.length === 1;
  }

  #refusedBecause(why: string): string {
    return `${this.#kind.name} ${this.#isOne ? 'is refused, and the one before it goes on' : 'are refused, and those before them go on'}: ${why}`;
  }

  async #look(): Promise<void> {
    const looks = await looksOf(this.#kind.paths);
    // Whoever writes several files is given until they look the same twice.
    const settled = looks === this.#seen;
    this.#seen = looks;
    // What was refused may not have been good yet, or not have been readable for a moment.
    const due = looks !== this.#read || this.#refusal !== null;
    if (settled && due && this.#timer !== null) await this.#readAgain();
  }

  #readAgain(): Promise<FilesChange> {
    this.#reading ??= this.#take().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #take(): Promise<FilesChange> {
    const looks = await looksOf(this.#kind.paths);
    const change = await this.#compare();
    this.#read = looks;
    if (this.#refusal === null || this.#refusal !== this.#told) this.#kind.onChange(change);
    this.#told = this.#refusal;
    return change;
  }

  async #compare(): Promise<FilesChange> {
    let value: T;
    try {
      value = await this.#kind.read();
    } catch (thrown) {
      this.#refusal = CoordinatorError.from(thrown).message;
      return { state: 'refused', sentence: this.#refusedBecause(this.#refusal) };
    }
    this.#refusal = null;
    if (this.#kind.isSame(value, this.#current)) return { state: 'same', sentence: `${this.#kind.name} ${this.#isOne ? 'is as it was' : 'are as they were'}` };
    this.#current = value;
    for (const listener of this.#listeners) listener(value);
    return { state: 'taken', sentence: this.#kind.taken(value) };
  }
}

/** What is amiss with a file though it is good: a sentence that ends in `consequence`, or null. */
export async function exposureOf(name: string, path: string, consequence: string): Promise<string | null> {
  const { mode } = await stat(path);
  return (mode & OTHERS) === 0 ? null : `${name}: ${path} is open to everybody on this machine (mode ${(mode & 0o777).toString(8)}), ${consequence}`;
}

/** Changes when a file does, be it written over, replaced or put behind a link. */
async function looksOf(paths: readonly string[]): Promise<string> {
  const looks = await Promise.all(
    paths.map(async (path) => {
      try {
        const { ino, size, mtimeMs } = await stat(path);
        return `${ino} ${size} ${mtimeMs}`;
      } catch {
        return 'none';
      }
    }),
  );
  return looks.join();
}
