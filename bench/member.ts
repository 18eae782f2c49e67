/** One node's process, seen from its parent. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Commands, Reply } from './node/commands.js';

const BOOT = fileURLToPath(new URL('./node/boot.mjs', import.meta.url));
const CLOSE_MS = 20_000;

const running = new Set<ChildProcess>();

/** For the last moment of this process: no waiting. */
export function killMembers(): void {
  for (const child of running) child.kill('SIGKILL');
}

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class Member {
  readonly id: string;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ready: Promise<void>;
  #next = 1;

  /** `within`: what the process's command is put behind. */
  constructor(id: string, within: readonly string[] = []) {
    this.id = id;
    // Advanced serialization carries typed arrays and bigints. Arguments of this process's loader are not handed down,
    // and the standard output is for figures.
    const [execPath = process.execPath, ...execArgv] = within.length === 0 ? [] : [...within, process.execPath];
    this.#child = fork(BOOT, { serialization: 'advanced', execPath, execArgv, stdio: ['ignore', 2, 2, 'ipc'] });
    this.#ready = new Promise((resolve, reject) => {
      this.#waiting.set(0, { resolve: () => resolve(), reject });
    });
    this.#ready.catch(() => {});
    this.#child.on('message', (reply: Reply) => {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if ('error' in reply) waiting?.reject(new Error(`node ${id}: ${reply.error}`));
      else waiting?.resolve(reply.result);
    });
    running.add(this.#child);
    this.#child.on('error', (error) => this.#failAll(error));
    this.#child.on('exit', (code, signal) => {
      running.delete(this.#child);
      this.#failAll(new Error(`the process of node ${id} ended with ${signal ?? `status ${code}`}`));
    });
  }

  get pid(): number | null {
    return this.#child.pid ?? null;
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async call<Name extends keyof Commands>(name: Name, ...[options]: Parameters<Commands[Name]>): Promise<ReturnType<Commands[Name]>> {
    await this.#ready;
    if (!this.alive) throw new Error(`the process of node ${this.id} has ended`);
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve: resolve as (result: unknown) => void, reject });
      this.#child.send({ id, name, options });
    });
  }

  /** Ends the process as a crash would. */
  async kill(): Promise<void> {
    if (!this.alive) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }

  async close(): Promise<void> {
    if (!this.alive) return;
    const ended = once(this.#child, 'exit');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), CLOSE_MS);
    await this.call('close').catch((error: Error) => process.stderr.write(`${error.message}\n`));
    if (this.#child.connected) this.#child.disconnect();
    await ended;
    clearTimeout(timer);
  }

  #failAll(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
