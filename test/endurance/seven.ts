/** Seven members: recorded activity and sessions go on while three are killed at a time, and members come, go and take each other's place. */
import { fileURLToPath } from 'node:url';
import { ApiClient } from '../../dist/api/index.js';
import { Replay } from '../../dist/cli/replay/replay.js';
import { countOperations, traceEvents } from '../../dist/cli/trace/index.js';
import type { MemberChange } from '../../dist/index.js';
import { Plan, sleep, until } from '../helpers/cluster.js';
import { type NodeProcess, ProcessCluster, type RemoteError } from '../helpers/node-process.js';
import { type Context, type Figures, must } from './context.js';
import { Ledger } from './ledger.js';
import { Load } from './load.js';
import { Random } from './random.js';

export interface SevenSizes {
  /** Operations of the trace; null for all. */
  readonly operations: number | null;
}

const TRACE = fileURLToPath(new URL('../../examples/traces/git-session.jsonl.gz', import.meta.url));
const IDS = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
const SPARES = ['h', 'i'];
const KILLED = 3;
/** Four of seven, and of the six that there are for a moment. */
const QUORUM = 4;
const SETTINGS = { log: { segmentBytes: 1024 * 1024, spareSegments: 1, reserveBytes: 1024 * 1024 }, raft: { electionTimeoutMs: [400, 800] as [number, number], snapshotThresholdEntries: 1000, compactionThresholdEntries: 200 } };
const TIMEOUT_MS = 120_000;
const DOWN_MS_MAX = 1500;
const MORE_EVENTS = 30;

export async function seven(context: Context, { operations }: SevenSizes): Promise<Figures> {
  const run = await Seven.start(context);
  const total = Math.min(operations ?? Number.POSITIVE_INFINITY, await countOperations(TRACE));
  const replay = run.replay(total);
  // Each at its place in the trace, so that the replay is under way through all of them.
  const acts: readonly (readonly [string, () => Promise<void>])[] = [
    ['three are killed, the leader among them', () => run.killThree(true)],
    ['h joins, g goes, h votes', () => run.exchange('h', 'g')],
    ['three are killed that do not lead', () => run.killThree(false)],
    ['i takes the place of one', () => run.replaceOne('i')],
    ['three are killed while leadership moves', () => run.killWhileMoving()],
    ['three are killed, the leader among them', () => run.killThree(true)],
  ];
  for (const [at, [what, act]] of acts.entries()) {
    await run.reach(Math.floor((total * (at + 1)) / (acts.length + 2)), replay);
    context.progress(`after ${run.done} of ${total} operations: ${what}`);
    await act();
  }
  context.progress(`after ${run.done} of ${total} operations: to the end of the trace`);
  const summary = await replay;
  must(summary.failed === 0, `${summary.failed} events of the trace have no receipt: ${run.failure}`);
  must(summary.operations === total, `${summary.operations} of ${total} operations were replayed`);
  return { operations: total, 'events of the trace': summary.events, 'attempts lost in the replay': summary.retries, 'longest gap (ms)': summary.longestGapMs, ...(await run.end()) };
}

class Seven {
  readonly #random: Random;
  readonly #ledger = new Ledger(QUORUM);
  readonly #gone = new Set<string>();
  readonly #load: Load;
  readonly #clients: readonly ApiClient[];
  #kills = 0;
  #changes = 0;
  done = 0;
  failure: string | null = null;

  private constructor(
    private readonly context: Context,
    private readonly cluster: ProcessCluster,
  ) {
    this.#random = new Random(context.seed);
    const addresses = [...IDS, ...SPARES].map((id) => cluster.plan.apiAddress(id));
    this.#clients = addresses.map((address) => new ApiClient(address));
    context.teardown(() => {
      for (const client of this.#clients) client.close();
    });
    this.#load = new Load(context, () => this.#members(), [], this.#ledger, context.seed + 1, ['session', 'session', 'pipeline', 'alone']);
  }

  static async start(context: Context): Promise<Seven> {
    const cluster = await ProcessCluster.open(context, await Plan.serving(context.directory, SETTINGS, IDS, SPARES));
    await cluster.leader();
    return new Seven(context, cluster);
  }

  replay(total: number): ReturnType<Replay['run']> {
    const replay = new Replay({
      clients: this.#clients,
      publish: { timeoutMs: TIMEOUT_MS },
      rate: null,
      onReceipt: (receipt) => this.#ledger.add(receipt),
      onProgress: (done) => {
        this.done = done;
      },
    });
    const running = replay.run(first(total, traceEvents(TRACE, { reads: true, onInvalidLine: (error) => must(false, error.message) }))).finally(() => {
      this.failure = replay.failure?.message ?? null;
    });
    // Looked at by whoever waits for the end.
    running.catch(() => {});
    return running;
  }

  /** Waits until the replay has come to `operations`; a replay that ends early is looked at afterwards. */
  async reach(operations: number, replay: Promise<unknown>): Promise<void> {
    let over = false;
    const ended = (): void => {
      over = true;
    };
    replay.then(ended, ended);
    await until(`${operations} operations`, () => over || this.done >= operations, 600_000);
    if (over) await replay;
  }

  #members(): NodeProcess[] {
    return this.cluster.members.filter(({ id, open }) => open && !this.#gone.has(id));
  }

  async #leader(): Promise<NodeProcess> {
    let leader: NodeProcess | undefined;
    await until('a leader', async () => {
      for (const member of this.#members()) if ((await member.status()).role === 'leader') leader = member;
      return leader !== undefined;
    });
    return leader as NodeProcess;
  }

  async killThree(withLeader: boolean): Promise<void> {
    const leader = await this.#leader();
    const others = this.#members().filter((member) => member !== leader);
    const victims = [...(withLeader ? [leader] : []), ...this.#random.some(others, withLeader ? KILLED - 1 : KILLED)];
    await this.#killed(victims, () => this.#load.more(MORE_EVENTS));
  }

  /** Four of seven stay, whoever leads: the events go on meanwhile. */
  async #killed(victims: readonly NodeProcess[], meanwhile: () => Promise<void>): Promise<void> {
    await Promise.all(victims.map((victim) => victim.kill()));
    this.#kills += victims.length;
    await meanwhile();
    await sleep(this.#random.below(DOWN_MS_MAX));
    await Promise.all(victims.map((victim) => victim.start()));
    await this.#load.more(MORE_EVENTS);
  }

  async exchange(joins: string, goes: string): Promise<void> {
    await this.#change((operator) => operator.members('add', joins, this.cluster.plan.address(joins)));
    await this.#join(joins);
    await this.#remove(goes, (operator) => operator.members('remove', goes));
    await this.#change((operator) => operator.members('promote', joins));
    await this.#load.more(MORE_EVENTS);
  }

  async replaceOne(joins: string): Promise<void> {
    await this.#change((operator) => operator.members('add', joins, this.cluster.plan.address(joins)));
    await this.#join(joins);
    const [goes] = this.#random.some(this.#members().filter(({ id }) => IDS.includes(id)), 1) as [NodeProcess];
    await this.#remove(goes.id, (operator) => operator.members('replace', goes.id, joins));
    await this.#load.more(MORE_EVENTS);
  }

  async killWhileMoving(): Promise<void> {
    const leader = await this.#leader();
    const victims = [leader, ...this.#random.some(this.#members().filter((member) => member !== leader), KILLED - 1)];
    const to = this.#members().find((member) => !victims.includes(member)) as NodeProcess;
    const moving = leader.members('transferLeadership', to.id).catch(() => {});
    await sleep(this.#random.below(50));
    await this.#killed(victims, () => this.#load.more(MORE_EVENTS));
    await moving;
  }

  /** The API is its own, on the port that the plan has for it. */
  async #join(id: string): Promise<void> {
    await this.cluster.join(this.context, id);
  }

  async #remove(id: string, ask: (operator: NodeProcess) => Promise<MemberChange>): Promise<void> {
    this.#gone.add(id);
    await this.#change(ask);
    const removed = this.cluster.members.find((member) => member.id === id) as NodeProcess;
    await until(`${id} to be told`, async () => (await removed.status()).role === 'removed');
    await removed.stop();
  }

  /** Asks until nothing stands in the way any more; an attempt that timed out may have been carried out. */
  async #change(ask: (operator: NodeProcess) => Promise<MemberChange>): Promise<void> {
    await until('the change of members', async () => {
      try {
        // Any member carries it to the leader, which may be the one that goes.
        const [operator] = this.#random.some(this.#members(), 1);
        if (operator === undefined) return false;
        await ask(operator);
      } catch (error) {
        const { code } = error as RemoteError;
        if (!['MEMBER_EXISTS', 'MEMBER_IS_VOTER', 'MEMBER_UNKNOWN'].includes(code)) throw error;
      }
      return true;
    });
    this.#changes += 1;
  }

  async end(): Promise<Figures> {
    await this.#load.stop();
    const members = this.#members();
    await this.cluster.equal();
    const statuses = await this.cluster.statuses();
    this.#ledger.see(statuses);
    const voters = statuses[0]?.groups[0]?.voters ?? [];
    must(voters.length === IDS.length && members.length === IDS.length, `there are ${voters.length} voters, and ${members.length} members run`);
    await this.#ledger.checkJournals(members);
    await this.cluster.stop();
    await this.#ledger.checkFiles(members.map(({ id }) => this.cluster.plan.dataDir(id)));
    return {
      'members killed': this.#kills,
      'changes of members': this.#changes,
      voters: voters.join(', '),
      'events acknowledged': this.#ledger.size,
      'answered as duplicates': this.#ledger.duplicates,
      'apply hash': statuses[0]?.applyHash ?? '',
    };
  }
}

async function* first<T>(count: number, of: AsyncIterable<T>): AsyncGenerator<T> {
  let left = count;
  for await (const one of of) {
    if (left-- <= 0) return;
    yield one;
  }
}
