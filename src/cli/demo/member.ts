import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ApiClient } from '../../api/index.js';
import type { Status } from '../../contracts/index.js';
import { CoordinatorError } from '../../errors/index.js';

const COMMAND = fileURLToPath(new URL('../main.js', import.meta.url));
const START_MS = 20_000;
const STOP_MS = 10_000;
const TAIL_LINES = 15;

export interface MemberSettings {
  readonly id: string;
  readonly dataDir: string;
  readonly logFile: string;
  readonly listen: string;
  readonly api: string;
  readonly peers: readonly { readonly id: string; readonly listen: string }[];
  /** The process outlives this one. */
  readonly detached: boolean;
}

/** One `vexcoord serve` process. Its output goes to a file, so that it needs nobody to read it. */
export class Member {
  #child: ChildProcess | null = null;
  #client: ApiClient | null = null;

  constructor(readonly settings: MemberSettings) {}

  get id(): string {
    return this.settings.id;
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when the API answers; `NODE_FAILED` with the end of the log when the process ends before. */
  async start(): Promise<void> {
    const { id, dataDir, logFile, listen, api, peers, detached } = this.settings;
    const peerFlags = peers.flatMap((peer) => ['--peer', `${peer.id}=${peer.listen}`]);
    const log = openSync(logFile, 'a');
    try {
      this.#child = spawn(
        process.execPath,
        [COMMAND, 'serve', '--node-id', id, '--data-dir', dataDir, '--listen', listen, '--api', api, '--admin', 'false', '--cluster-id', 'demo', ...peerFlags, ...(detached ? [] : ['--end-with-parent'])],
        // A group of its own: Ctrl-C reaches this process, which then stops its members in order.
        { detached: true, stdio: ['ignore', log, log, ...(detached ? [] : (['ipc'] as const))], env: ownEnvironment() },
      );
    } finally {
      closeSync(log);
    }
    this.#child.on('error', () => {});
    const deadline = performance.now() + START_MS;
    for (;;) {
      if (!this.running) throw this.failure('ended while it started');
      try {
        await this.status(500);
        return;
      } catch {
        if (performance.now() > deadline) throw this.failure(`did not answer within ${START_MS / 1000} s`);
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    }
  }

  status(timeoutMs = 1000): Promise<Status> {
    this.#client ??= new ApiClient(this.settings.api);
    return this.#client.status({ timeoutMs });
  }

  /** Ends the process as a crash would. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exit();
  }

  /** Ends the process as its owner would; `NODE_FAILED` when it does not end with 0 in time. */
  async stop(): Promise<void> {
    if (!this.running) throw this.failure('had ended by itself');
    this.#child?.kill('SIGTERM');
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), STOP_MS);
    await this.#exit();
    clearTimeout(timer);
    if (this.#child?.exitCode !== 0) throw this.failure(`did not stop cleanly (${this.#child?.signalCode ?? `status ${this.#child?.exitCode}`})`);
  }

  /** Lets the process live on after this one. */
  release(): void {
    this.#client?.close();
    this.#child?.unref();
  }

  /** For the last moment of this process: no waiting. */
  killNow(): void {
    if (this.running) this.#child?.kill('SIGKILL');
  }

  failure(what: string): CoordinatorError {
    return new CoordinatorError('NODE_FAILED', `node ${this.id} ${what}; the end of ${this.settings.logFile}:\n${this.#tail()}`);
  }

  #tail(): string {
    try {
      return readFileSync(this.settings.logFile, 'utf8').trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
    } catch {
      return '(nothing was logged)';
    }
  }

  #exit(): Promise<void> {
    const child = this.#child;
    this.#client?.close();
    this.#client = null;
    if (child === null || !this.running) return Promise.resolve();
    return new Promise((resolve) => child.once('exit', () => resolve()));
  }
}

/** Configuration in the environment is for the user's own node, not for these. */
function ownEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VEXCOORD_') || name.startsWith('VEXCOORD_TEST_')));
}
