/**
 * The simulator's cluster as seen from outside (`vexfs-sim --seed N --outside`, native/sim/src/outside.rs): real members on
 * virtual time, faults included, for clients that live here. Every call is answered before it returns, as the addon's are.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CoordinatorError } from '../../dist/errors/index.js';

const SIMULATOR = new URL('../../native/target/debug/vexfs-sim', import.meta.url).pathname;

/** What has happened since the last step, in order. */
export type Happening =
  | { readonly kind: 'up'; readonly node: number }
  | { readonly kind: 'down'; readonly node: number }
  /** Packed ends (docs/formats.md). */
  | { readonly kind: 'ends'; readonly node: number; readonly packed: Buffer };

export interface Step {
  readonly nowUs: number;
  readonly happenings: readonly Happening[];
}

export interface Verdict {
  readonly violations: readonly string[];
  readonly healed: boolean;
}

const CHUNK_BYTES = 64 * 1024;

export class Simulator {
  readonly #directory: string;
  readonly #child: ChildProcess;
  readonly #to: number;
  readonly #from: number;
  #read = Buffer.alloc(0);
  /** Node ids, by number. */
  readonly nodes: readonly string[];
  /** Faults and clients are to stop then. */
  readonly untilUs: number;

  constructor(seed: number, options: readonly string[] = []) {
    this.#directory = mkdtempSync(join(tmpdir(), 'vexfs-policy-'));
    const [to, from] = ['to', 'from'].map((name) => join(this.#directory, name)) as [string, string];
    execFileSync('mkfifo', [to, from]);
    // Opened both ways at first, so that neither side waits for the other; once only the child has the other ends, its end is seen.
    const both = [openSync(to, 'r+'), openSync(from, 'r+')];
    const [input, output] = [openSync(to, 'r'), openSync(from, 'w')];
    [this.#to, this.#from] = [openSync(to, 'w'), openSync(from, 'r')];
    this.#child = spawn(SIMULATOR, ['--seed', String(seed), '--outside', ...options], { stdio: [input, output, 'inherit'] });
    for (const fd of [...both, input, output]) closeSync(fd);
    const [, untilUs, ...nodes] = this.#line().split(' ');
    this.untilUs = Number(untilUs);
    this.nodes = nodes;
  }

  /** One word back: of the calls that hand something in, one of `TAKEN`. */
  ask(...words: readonly (string | number | bigint)[]): string {
    this.#say(words);
    return this.#line();
  }

  /** Packed deliveries. Throws `CURSOR_COMPACTED`, or `LOG_DAMAGED` for what cannot be read at the moment. */
  read(node: number, group: number, index: bigint, offset: number, bytesMax: number, eventsMax: number): Buffer {
    const [kind, rest = ''] = split(this.ask('read', node, group, index, offset, bytesMax, eventsMax));
    if (kind === 'compacted') throw new CoordinatorError('CURSOR_COMPACTED', `the journal begins at ${rest}`);
    if (kind !== 'journal') throw new CoordinatorError('LOG_DAMAGED', rest);
    return Buffer.from(rest, 'hex');
  }

  /** Goes on to `untilUs`, or to the first happening before. */
  step(untilUs: number): Step {
    this.#say(['step', untilUs]);
    const happenings: Happening[] = [];
    for (;;) {
      const [kind, rest] = split(this.#line());
      if (kind === 'now') return { nowUs: Number(rest), happenings };
      const [node, packed = ''] = split(rest);
      if (kind === 'ends') happenings.push({ kind, node: Number(node), packed: Buffer.from(packed, 'hex') });
      else if (kind === 'up' || kind === 'down') happenings.push({ kind, node: Number(node) });
      else throw new Error(`the simulator says ${kind} ${rest}`);
    }
  }

  /** What the simulator's own invariants say so far. */
  verdict(): Verdict {
    this.#say(['verdict']);
    const violations: string[] = [];
    for (;;) {
      const [kind, rest] = split(this.#line());
      if (kind !== 'violation') return { violations, healed: kind === 'healed' };
      violations.push(rest);
    }
  }

  close(): void {
    this.#say(['end']);
    this.#child.unref();
    closeSync(this.#to);
    closeSync(this.#from);
    rmSync(this.#directory, { recursive: true });
  }

  #say(words: readonly (string | number | bigint)[]): void {
    writeSync(this.#to, `${words.join(' ')}\n`);
  }

  #line(): string {
    for (;;) {
      const end = this.#read.indexOf(10);
      if (end >= 0) {
        const line = this.#read.toString('utf8', 0, end);
        this.#read = this.#read.subarray(end + 1);
        return line;
      }
      const chunk = Buffer.alloc(CHUNK_BYTES);
      const length = readSync(this.#from, chunk);
      if (length === 0) throw new Error('the simulator has ended');
      this.#read = Buffer.concat([this.#read, chunk.subarray(0, length)]);
    }
  }
}

function split(line: string): [string, string] {
  const at = line.indexOf(' ');
  return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)];
}
