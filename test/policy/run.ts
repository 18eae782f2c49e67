/** One seed: the policy over the simulator's members, faults included, until they have healed and everything has ended. */
import FakeTimers from '@sinonjs/fake-timers';
import { formatUuid } from '../../dist/events/index.js';
import type { CoordinatorError } from '../../dist/errors/index.js';
import type { Ports } from '../../dist/runtime/index.js';
import { Random } from '../endurance/random.js';
import { Client } from './client.js';
import { SimulatedLane } from './lane.js';
import { Ledger, type Placed } from './ledger.js';
import { type Plant, PolicyNode } from './node.js';
import { Simulator } from './simulator.js';

export interface Report {
  readonly violations: readonly string[];
  readonly receipts: number;
  readonly duplicates: number;
  readonly lowered: number;
  readonly errors: ReadonlyMap<string, number>;
  readonly restarts: number;
  readonly virtualMs: number;
}

const CLIENTS = 4;
const STEP_US = 5_000;
/** Until a first leader is there, all that could be seen is time passing. */
const BEGIN_MS = 500;
const HEALING_US = 60_000_000;
const VERDICT_US = 100_000;
/** Any moment: ids of version 7 begin with it. */
const EPOCH_MS = 1_700_000_000_000;

export async function runPolicy(seed: number, options: readonly string[] = [], plant: Plant = null): Promise<Report> {
  const simulator = new Simulator(seed, options);
  const clock = FakeTimers.install({ now: EPOCH_MS, toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'] });
  try {
    return await new PolicyRun(seed, simulator, clock, plant).go();
  } finally {
    clock.uninstall();
    simulator.close();
  }
}

class PolicyRun {
  readonly #simulator: Simulator;
  readonly #clock: ReturnType<typeof FakeTimers.install>;
  readonly #ports: Ports;
  readonly #plant: Plant;
  readonly #ledger = new Ledger();
  readonly #nodes: (PolicyNode | null)[];
  readonly #lanes: readonly SimulatedLane[];
  readonly #clients: { readonly client: Client; dueMs: number }[];
  #nowUs = 0;
  #restarts = 0;

  constructor(seed: number, simulator: Simulator, clock: ReturnType<typeof FakeTimers.install>, plant: Plant) {
    this.#plant = plant;
    this.#simulator = simulator;
    this.#clock = clock;
    const random = new Random(seed);
    const fillRandom = (buffer: Uint8Array) => {
      for (let at = 0; at < buffer.length; at++) buffer[at] = random.below(256);
    };
    this.#ports = {
      nowMs: () => clock.now,
      monotonicMs: () => clock.now - EPOCH_MS,
      fillRandom,
      randomU64: () => (BigInt(random.below(2 ** 32)) << 32n) | BigInt(random.below(2 ** 32)),
    };
    this.#nodes = simulator.nodes.map(() => null);
    this.#lanes = simulator.nodes.map((name) => new SimulatedLane(name));
    const newId = () => {
      const bytes = new Uint8Array(16);
      fillRandom(bytes);
      return formatUuid(bytes);
    };
    const world = { ledger: this.#ledger, nowMs: () => clock.now - EPOCH_MS, node: (number: number) => this.#nodes[number] ?? null, nodes: simulator.nodes.length, newId };
    this.#clients = Array.from({ length: CLIENTS }, (_, at) => ({ client: new Client(world, new Random(seed * CLIENTS + at + 1), at), dueMs: BEGIN_MS }));
  }

  async go(): Promise<Report> {
    const { untilUs } = this.#simulator;
    while (this.#nowUs < untilUs) {
      const due = Math.min(...this.#clients.map(({ dueMs }) => dueMs * 1_000));
      await this.#step(Math.max(this.#nowUs + 1, Math.min(this.#nowUs + STEP_US, due)));
      for (const one of this.#clients) {
        while (one.dueMs * 1_000 <= this.#nowUs) one.dueMs += one.client.act();
      }
      await settled();
    }
    let verdict = this.#simulator.verdict();
    while (verdict.violations.length === 0 && !(verdict.healed && this.#quiet()) && this.#nowUs < untilUs + HEALING_US) {
      const until = this.#nowUs + VERDICT_US;
      while (this.#nowUs < until) await this.#step(Math.min(until, this.#nowUs + STEP_US));
      verdict = this.#simulator.verdict();
    }
    if (verdict.violations.length === 0 && !(verdict.healed && this.#quiet())) this.#ledger.violate('the cluster does not heal');
    await this.#compare();
    return {
      violations: [...this.#ledger.violations, ...verdict.violations],
      receipts: this.#ledger.receipts,
      duplicates: this.#ledger.duplicates,
      lowered: this.#ledger.lowered,
      errors: this.#ledger.errors,
      restarts: this.#restarts,
      virtualMs: this.#nowUs / 1_000,
    };
  }

  /** Virtual time goes on, here as there; what happened there is told here. */
  async #step(untilUs: number): Promise<void> {
    const { nowUs, happenings } = this.#simulator.step(untilUs);
    this.#clock.tick((nowUs - this.#nowUs) / 1_000);
    this.#nowUs = nowUs;
    for (const happening of happenings) {
      const { node } = happening;
      if (happening.kind === 'ends') this.#nodes[node]?.take(happening.packed);
      else if (happening.kind === 'up') {
        this.#restarts += 1;
        this.#nodes[node] = new PolicyNode(this.#simulator, node, this.#ports, this.#lanes[node] as SimulatedLane, this.#plant);
      } else {
        this.#nodes[node]?.ended();
        this.#nodes[node] = null;
      }
    }
    await settled();
  }

  #quiet(): boolean {
    return this.#nodes.every((node) => node === null || (node.requests.size === 0 && node.placing.waiting === 0));
  }

  /** Against the journal of the first member that runs: the simulator's invariants see to it that the others have the same. */
  async #compare(): Promise<void> {
    const number = this.#nodes.findIndex((node) => node !== null);
    const node = this.#nodes[number];
    if (node === null || node === undefined) {
      this.#ledger.violate('no member runs');
      return;
    }
    const first = node.journal.firstIndex(0);
    const journal: Placed[] = [];
    let from = { index: first, offset: 0 };
    for (;;) {
      const reader = node.journal.read({ ...node.journal.context(0), consumer: null }, from, 1024 * 1024, 65_536, 0);
      const read = Array.from(reader, ({ event, index, offset }): Placed => ({ id: event.id, code: event.code, index, offset }));
      const last = read.at(-1);
      if (last === undefined) break;
      journal.push(...read);
      from = { index: last.index, offset: last.offset + 1 };
    }
    const lanes = this.#lanes.map(({ ids }, at) => ({ ids, runs: this.#nodes[at] != null }));
    const there = new Set(journal.map(({ id }) => id));
    const nowhere = await this.#nowhere(node, lanes.flatMap(({ ids, runs }) => (runs ? ids.filter((id) => !there.has(id)) : [])));
    this.#ledger.compare(journal, lanes, nowhere, first);
  }

  /** Of these ids those that the group does not know, also where its journal has let go of what they name. */
  async #nowhere(node: PolicyNode, ids: readonly string[]): Promise<ReadonlySet<string>> {
    const nowhere = new Set<string>();
    let open = ids.length;
    for (const id of ids) {
      const found = node.queries.read(id, {}).catch((error: CoordinatorError) => {
        if (error.code === 'NOT_FOUND') nowhere.add(id);
      });
      void found.finally(() => {
        open -= 1;
      });
    }
    while (open > 0) await this.#step(this.#nowUs + STEP_US);
    return nowhere;
  }
}

/** Everything that was promised is kept before time goes on. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
