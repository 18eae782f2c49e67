/** Members in operating-system processes of their own, and a writer that never gives an event up. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Committed, CoordinatorConfig, EventInput, MemberChange, PublishOptions, Status } from '../../dist/index.js';
import { agreed, fileWrite, Plan, type Placed, type Row, same, startWhenFree, type Undoing, until } from './cluster.js';

const MODULE = fileURLToPath(new URL('../fixtures/node-process.mjs', import.meta.url));

/** An error of a member's process, or `GONE` where the process ended before it answered. */
export class RemoteError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly committed: Committed | null,
  ) {
    super(`${code}: ${message}`);
  }
}

export interface PlainReceipt extends Placed {
  readonly term: bigint;
  readonly duplicate: boolean;
  readonly level: string;
  readonly durableMembers: number;
  readonly hlc: bigint;
}
export type RemoteOptions = Omit<PublishOptions, 'session' | 'signal'> & { readonly session?: string | null; readonly abortAfterMs?: number };

interface Waiting {
  resolve(value: unknown): void;
  reject(error: RemoteError): void;
}

/** One member; its process can be ended and started again. */
export class NodeProcess {
  #child: ChildProcess | null = null;
  readonly #waiting = new Map<number, Waiting>();
  #number = 0;
  #open = false;

  /** `within`: what the process's command is put behind. */
  constructor(readonly id: string, readonly config: CoordinatorConfig, readonly within: readonly string[] = []) {}

  get running(): boolean {
    return this.#child !== null;
  }

  /** Its node has been opened since the process began. */
  get open(): boolean {
    return this.#open;
  }

  async start(): Promise<void> {
    await this.spawn();
    await startWhenFree(() => this.call('start', this.config) as Promise<void>);
    this.#open = true;
  }

  /** Why the node ended by itself, or null. */
  failure(): Promise<{ readonly code: string; readonly message: string } | null> {
    return this.call('failure') as Promise<{ code: string; message: string } | null>;
  }

  /** The process alone; its node is opened by `call('start', …)`. */
  async spawn(): Promise<void> {
    const [execPath = process.execPath, ...execArgv] = this.within.length === 0 ? [] : [...this.within, process.execPath];
    const child = fork(MODULE, { serialization: 'advanced', execPath, execArgv, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child = child;
    const up = new Promise<void>((resolve) => this.#waiting.set(0, { resolve: () => resolve(), reject: () => resolve() }));
    child.on('message', (message) => {
      const { number, value, error } = message as { number: number; value?: unknown; error?: { code: string; message: string; committed: Committed | null } };
      const waiting = this.#waiting.get(number);
      this.#waiting.delete(number);
      if (error === undefined) waiting?.resolve(value);
      else waiting?.reject(new RemoteError(error.code, error.message, error.committed));
    });
    child.on('exit', () => {
      if (this.#child !== child) return;
      this.#child = null;
      this.#open = false;
      for (const waiting of [...this.#waiting.values()]) waiting.reject(new RemoteError('GONE', `the process of ${this.id} has ended`, 'unknown'));
      this.#waiting.clear();
    });
    await up;
  }

  call(name: string, ...args: unknown[]): Promise<unknown> {
    const child = this.#child;
    if (child === null) return Promise.reject(new RemoteError('GONE', `the process of ${this.id} does not run`, 'no'));
    this.#number += 1;
    const number = this.#number;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      // A failed send is followed by the end of the process, which rejects.
      child.send({ number, name, args }, () => {});
    });
  }

  publish(event: EventInput, options: RemoteOptions = {}): Promise<PlainReceipt> {
    return this.call('publish', event, options) as Promise<PlainReceipt>;
  }
  pipeline(events: readonly EventInput[], options: RemoteOptions = {}): Promise<(PlainReceipt | { code: string })[]> {
    return this.call('pipeline', events, options) as Promise<(PlainReceipt | { code: string })[]>;
  }
  /** Up to `last`, or everything, where the journal has all that the group has accepted. */
  journal(last?: Pick<Placed, 'index' | 'offset'>): Promise<Row[]> {
    return this.call('journal', ...(last === undefined ? [] : [{ index: last.index, offset: last.offset }])) as Promise<Row[]>;
  }
  members(command: 'add' | 'promote' | 'remove' | 'replace' | 'transferLeadership', ...args: unknown[]): Promise<MemberChange> {
    return this.call('members', command, ...args) as Promise<MemberChange>;
  }
  status(): Promise<Status> {
    return this.call('status') as Promise<Status>;
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** Ends the process as a crash would. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    const exit = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exit;
  }

  /** Closes the node in order, then ends its process. */
  async stop(): Promise<void> {
    await this.call('close');
    await this.kill();
  }
}

export class ProcessCluster {
  readonly members: NodeProcess[];

  constructor(readonly plan: Plan) {
    this.members = plan.ids.map((id) => new NodeProcess(id, plan.config(id), plan.hosts.get(id)?.within));
  }

  /** `spares`: names of members that may join later. */
  static async start(t: Undoing, more: Partial<CoordinatorConfig> = {}, spares: readonly string[] = []): Promise<ProcessCluster> {
    return ProcessCluster.open(t, await Plan.of(t, more, ['a', 'b', 'c'], spares));
  }

  /** The plan's members on the files that they have. */
  static async open(t: Undoing, plan: Plan): Promise<ProcessCluster> {
    const cluster = new ProcessCluster(plan);
    t.teardown(() => cluster.kill());
    await Promise.all(cluster.members.map((member) => member.start()));
    await cluster.leader();
    return cluster;
  }

  /** Starts one that joins: it waits until it is added. */
  async join(t: Undoing, id: string, more: Partial<CoordinatorConfig> = {}): Promise<NodeProcess> {
    const member = new NodeProcess(id, { ...this.plan.config(id), join: true, ...more });
    t.teardown(() => member.kill());
    await member.start();
    this.members.push(member);
    return member;
  }

  get running(): NodeProcess[] {
    return this.members.filter((member) => member.running);
  }

  statuses(): Promise<Status[]> {
    return Promise.all(this.running.map((member) => member.status()));
  }

  /** The leader, once all running members agree on one. */
  async leader(): Promise<NodeProcess> {
    let leader: NodeProcess | undefined;
    await until('one leader', async () => {
      const id = agreed(await this.statuses());
      leader = this.members.find((member) => member.id === id);
      return leader !== undefined;
    });
    return leader as NodeProcess;
  }

  async followers(): Promise<NodeProcess[]> {
    const leader = await this.leader();
    return this.running.filter((member) => member !== leader);
  }

  async equal(): Promise<void> {
    await until('equal members', async () => same(await this.statuses()));
  }

  journals(): Promise<Row[][]> {
    return Promise.all(this.running.map((member) => member.journal()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.running.map((member) => member.stop()));
  }

  /** Ends all as a crash would. */
  async kill(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
  }
}

/** Longer than the attempt's own time: a member that is paused says nothing at all. */
const ANSWER_MS = 2500;

/** Publishes until told to stop, `lanes` at a time. An event without a receipt is tried again under its id through another member. */
export class Writer {
  readonly receipts: PlainReceipt[] = [];
  /** Attempts that ended without a receipt. */
  retries = 0;
  readonly #running: Promise<void>[];
  #stopped = false;
  #abandoned = false;

  constructor(t: Undoing, targets: () => readonly NodeProcess[], options: { readonly lanes?: number; readonly pauseMs?: number; readonly attempt?: () => RemoteOptions } = {}) {
    const { lanes = 4, pauseMs = 1, attempt = () => ({ session: null, timeoutMs: 1500 }) } = options;
    t.teardown(() => {
      this.#stopped = true;
      this.#abandoned = true;
    });
    this.#running = Array.from({ length: lanes }, async (_, lane) => {
      for (let at = 0; !this.#stopped; at++) {
        const event = fileWrite(`/${lane}/${at}`, 100);
        for (let turn = lane + at; !this.#abandoned; turn++) {
          const members = targets();
          const member = members[turn % Math.max(1, members.length)];
          try {
            if (member === undefined) throw new RemoteError('GONE', 'no member runs', 'no');
            this.receipts.push(await Promise.race([member.publish(event, attempt()), silence()]));
            break;
          } catch {
            this.retries += 1;
            await new Promise((resolve) => setTimeout(resolve, 20));
          }
        }
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    });
  }

  /** Waits until `count` more events are acknowledged. */
  async more(count: number): Promise<void> {
    const wanted = this.receipts.length + count;
    await until(`${count} more receipts`, () => this.receipts.length >= wanted);
  }

  /** Ends after the events under way have their receipts. */
  async stop(): Promise<PlainReceipt[]> {
    this.#stopped = true;
    await Promise.all(this.#running);
    return this.receipts;
  }
}

function silence(): Promise<never> {
  return new Promise((_, reject) => setTimeout(() => reject(new RemoteError('SILENT', 'no answer came', 'unknown')), ANSWER_MS).unref());
}
