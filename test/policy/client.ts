/** A client of the policy: publishes at every ordered level, in sessions and out of them, gives up, tries again elsewhere, asks. */
import type { EventInput, OnQuorumLoss, PublishOptions } from '../../dist/index.js';
import { CoordinatorError } from '../../dist/errors/index.js';
import type { Ending } from '../../dist/coordinator/publisher.js';
import type { Random } from '../endurance/random.js';
import type { Ledger } from './ledger.js';
import { GROUP_BYTES_MAX, PENDING_BYTES_MAX, type PolicyNode } from './node.js';

export interface World {
  readonly ledger: Ledger;
  nowMs(): number;
  /** The member with this number, where it runs. */
  node(number: number): PolicyNode | null;
  readonly nodes: number;
  newId(): string;
}

const OPEN_MAX = 12;
/** By the first digit of an id: an event has the same rule whenever it is tried. */
const LOSS: readonly OnQuorumLoss[] = ['wait', 'wait', 'degrade', 'degrade', 'fail'];
const BAD_PATH = 'not absolute';
/** A sweep of deadlines, and the longest time that a member may stand still. */
const SLACK_MS = 2_500;
const BATCH_BYTES_MAX = 8 * 1024;
/** Places are published 128 at a time. */
const PLACES_BYTES_MAX = 64 * 1024;

export class Client {
  readonly #random: Random;
  readonly #world: World;
  #number: number;
  #open = 0;
  /** Highest place that the present session was told: later publishes come later. */
  #last = { node: null as PolicyNode | null, session: '', turn: 0, index: 0n, offset: 0 };

  constructor(world: World, random: Random, number: number) {
    this.#world = world;
    this.#random = random;
    this.#number = number % world.nodes;
  }

  /** One thing; milliseconds to the next. */
  act(): number {
    if (this.#random.chance(0.05)) this.#number = this.#random.below(this.#world.nodes);
    const node = this.#world.node(this.#number);
    const pause = 5 + this.#random.below(200);
    if (node === null) {
      this.#number = this.#random.below(this.#world.nodes);
      return pause;
    }
    const batchBytes = node.placing.waiting > 0 ? PLACES_BYTES_MAX : BATCH_BYTES_MAX;
    if (node.requests.bytes > PENDING_BYTES_MAX + batchBytes) this.#world.ledger.violate(`${node.requests.bytes} bytes wait`);
    if (node.requests.bytesOf(0) > GROUP_BYTES_MAX + batchBytes) this.#world.ledger.violate(`${node.requests.bytesOf(0)} bytes of one group wait`);
    const draw = this.#random.below(100);
    if (draw < 55 && this.#open < OPEN_MAX) this.#publish(node, this.#events(1 + this.#random.below(4)));
    else if (draw < 58) for (let at = 0; at < 40; at++) this.#publish(node, this.#events(1, 700));
    else if (draw < 70) this.#again(node);
    else if (draw < 85) this.#barrier(node);
    else if (draw < 95) this.#outcome(node);
    else if (draw < 98) node.newSession();
    return pause;
  }

  #events(count: number, bytes = this.#random.below(200)): EventInput[] {
    // One rule for all of a batch.
    const digit = this.#random.below(16).toString(16);
    return Array.from({ length: count }, () => {
      const id = `${digit}${this.#world.newId().slice(1)}`;
      const path = this.#random.chance(0.03) ? BAD_PATH : `/projects/${this.#random.below(50)}`;
      return { id, type: 'FilesystemWrite', path, payload: new Uint8Array(bytes) };
    });
  }

  #options(): PublishOptions {
    const consistency = (['sequential', 'linearizable', 'linearizable', 'strong'] as const)[this.#random.below(4)] ?? 'linearizable';
    const quorum = ([undefined, 'all', 1, 2] as const)[this.#random.below(4)];
    const timeoutMs = [30, 150, 800, 4_000][this.#random.below(4)] ?? 800;
    return { consistency, timeoutMs, ...(consistency === 'strong' && quorum !== undefined ? { quorumSize: quorum } : {}) };
  }

  /** `attempted` where it is said whether there was an attempt before; what is not the node has to know. */
  #publish(node: PolicyNode, events: readonly EventInput[], attempted: boolean | null = this.#random.chance(0.7) ? false : null): void {
    const { ledger } = this.#world;
    const options = { ...this.#options(), ...(attempted === null ? {} : { attempted }) };
    const loss = LOSS[Number(`0x${events[0]?.id?.[0]}`) % LOSS.length] as OnQuorumLoss;
    const controller = new AbortController();
    if (this.#random.chance(0.05)) setTimeout(() => controller.abort(), this.#random.below(300));
    const session = this.#random.chance(0.7) ? node.session : null;
    const turn = ++ledger.turns;
    const deadlineMs = this.#world.nowMs() + (options.timeoutMs ?? 0);
    const mayLower = loss === 'degrade';
    for (const event of events) ledger.tried(event, mayLower, this.#number);
    this.#open += 1;
    const done = (endings: readonly Ending[]) => {
      this.#open -= 1;
      if (this.#world.nowMs() > deadlineMs + SLACK_MS) ledger.violate(`a publish of ${options.timeoutMs} ms ended ${this.#world.nowMs() - deadlineMs} ms late`);
      if (endings.length !== events.length) ledger.violate(`${events.length} events came to ${endings.length} endings`);
      for (const [at, ending] of endings.entries()) {
        const event = events[at] as EventInput;
        ledger.ended(event.id as string, ending, mayLower);
        if (ending instanceof CoordinatorError) {
          // Its place is its own; only where the journal has let go of that can nobody tell.
          if (ending.code === 'EVENT_ID_REUSED' && node.journal.firstIndex(0) <= 1n) ledger.violate(`${event.id} is called another event`);
          if (ending.code === 'PATH_INVALID' && event.path !== BAD_PATH) ledger.violate(`${event.id} is refused for the path of another`);
          continue;
        }
        if (event.path === BAD_PATH) ledger.violate(`${event.id} has a path that is not absolute, and a receipt`);
        if (ending.degraded) {
          if (loss !== 'degrade' && !ending.duplicate) ledger.violate(`${event.id} was to ${loss}, and is lowered`);
          if (ending.level !== 'causal' || ending.lane !== 'causal') ledger.violate(`${event.id} is lowered, and told ${ending.level} on the ${ending.lane} lane`);
        } else if (ending.level !== options.consistency) ledger.violate(`asked for ${options.consistency}, told ${ending.level}`);
        if (session !== null && !ending.duplicate) ledger.inSession(session.id, turn, event.id as string);
        if (session !== null && !ending.duplicate && !ending.degraded) this.#order(node, session.id, turn, ending.index, ending.offset);
      }
    };
    node.publish(events, { ...options, signal: controller.signal }, loss, session).then(done, (error: unknown) => {
      if (!(error instanceof CoordinatorError)) return ledger.violate(`a publish threw ${String(error)}`);
      done(events.map(() => error));
    });
  }

  /** Within a session the order of the publishes is the order of their places (rule R3). */
  #order(node: PolicyNode, session: string, turn: number, index: bigint, offset: number): void {
    const last = this.#last;
    const same = last.node === node && last.session === session;
    const after = index > last.index || (index === last.index && offset > last.offset);
    if (same && turn >= last.turn && !after) this.#world.ledger.violate(`publish ${turn} of a session is at ${index}.${offset}, the one before it at ${last.index}.${last.offset}`);
    if (!same || after) this.#last = { node, session, turn, index, offset };
  }

  /** What became of an event nobody knows is found out by publishing it again, here. */
  #again(node: PolicyNode): void {
    const { ledger } = this.#world;
    const { unknown } = ledger;
    const event = unknown[this.#random.below(unknown.length)];
    if (event === undefined || this.#open >= OPEN_MAX) return;
    // Whoever goes on at the same node need not say so.
    this.#publish(node, [event], ledger.onlyAt(event, this.#number) && this.#random.chance(0.7) ? null : true);
  }

  #barrier(node: PolicyNode): void {
    const { ledger } = this.#world;
    const least = ledger.highest;
    node.queries.readBarrier({ timeoutMs: 1_000 }).then(
      (index) => {
        if (index < least) ledger.violate(`a barrier passed at ${index}, after a receipt of ${least}`);
      },
      () => {},
    );
  }

  #outcome(node: PolicyNode): void {
    const { ledger } = this.#world;
    const { unknown } = ledger;
    const id = unknown[this.#random.below(unknown.length)]?.id;
    if (id === undefined) return;
    node.queries.outcome(id, { timeoutMs: 1_000 }).then(
      (outcome) => {
        if (outcome.state === 'absent') ledger.absent(id);
        else if (outcome.receipt !== undefined) ledger.placed(id, outcome.receipt);
      },
      () => {},
    );
  }
}
