/** One life of a simulated member with the product's own policy over it: publisher, requests, queries, journal. */
import type { Ports } from '../../dist/runtime/index.js';
import { CoordinatorError } from '../../dist/errors/index.js';
import type { EventInput, OnQuorumLoss, OrderedLevel, PublishOptions, Receipt } from '../../dist/index.js';
import { Catalogue, CursorCodec, EventIds, SubmissionWriter } from '../../dist/events/index.js';
import { Journal } from '../../dist/coordinator/journal.js';
import { Places } from '../../dist/coordinator/places.js';
import { Placing } from '../../dist/coordinator/placing.js';
import { type Choice, type Ending, Publisher } from '../../dist/coordinator/publisher.js';
import { Queries } from '../../dist/coordinator/queries.js';
import { QuorumLoss } from '../../dist/coordinator/quorum-loss.js';
import { QuorumWatch } from '../../dist/coordinator/quorum-watch.js';
import { Requests } from '../../dist/coordinator/requests.js';
import { SessionState } from '../../dist/coordinator/session.js';
import { Unplaced } from '../../dist/coordinator/unplaced.js';
import { FOLLOWING_VERSION, SUBMISSION, SUBMISSION_VERSION } from '../../dist/events/layout.js';
import { TAKEN } from '../../dist/native/core.js';
import { END, endsOf } from '../../dist/native/ends.js';
import type { NativeStatus } from '../../dist/native/index.js';
import type { SimulatedLane } from './lane.js';
import type { Simulator } from './simulator.js';

export const PENDING_BYTES_MAX = 16 * 1024;
/** Of these, what the one group that is published to may take beside another that is quiet (decision 18). */
const GROUP_SHARE_PERCENTAGE = 50;
export const GROUP_BYTES_MAX = (PENDING_BYTES_MAX * GROUP_SHARE_PERCENTAGE) / 100;
const ADMITTED_GROUPS = 2;
const CLUSTER = 'sim';
const GROUPS = 1;
/** Without a leader for twice as long is without a quorum. Shorter than any election: whoever is lowered too soon is to fare no worse. */
const ELECTION_MAX_MS = 30;
const CHOICE = { level: 'sequential', rule: null, quorumSize: undefined, timeoutMs: undefined } as const;
/** An end without a body (docs/formats.md, "Packed ends"). */
const END_BYTES = 56;

/** Known mistakes, to see that the checks can fail. */
export const PLANTS = [
  'unknown-is-no',
  'places-shifted',
  'barrier-without-asking',
  'sequences-lost',
  'share-ignored',
  'lowered-though-handed',
  'earlier-lives-forgotten',
  'place-forgotten',
  'forgotten-at-restart',
  'later-overtakes',
] as const;
export type Plant = (typeof PLANTS)[number] | null;

/** The core as the policy calls it, over the simulator. */
export class SimulatedCore {
  constructor(
    private readonly simulator: Simulator,
    private readonly node: number,
    private readonly plant: Plant,
    private readonly answer: (packed: Buffer) => void,
  ) {}

  submit(request: number, submission: Uint8Array, appliedQuorum: number): number {
    return Number(this.simulator.ask('submit', this.node, request, appliedQuorum, unfollowing(submission).toString('hex')));
  }
  barrier(request: number, group: number): number {
    if (this.plant === 'barrier-without-asking') {
      const packed = Buffer.alloc(END_BYTES);
      packed.writeUInt32LE(END_BYTES, 0);
      packed.writeUInt8(END.barrier, 4);
      packed.writeUInt32LE(request, 8);
      packed.writeBigUInt64LE(this.appliedIndex(group), 16);
      setTimeout(() => this.answer(packed), 1);
      return TAKEN.yes;
    }
    return Number(this.simulator.ask('barrier', this.node, request, group));
  }
  withdraw(request: number, group: number): number {
    return Number(this.simulator.ask('withdraw', this.node, request, group));
  }
  find(request: number, group: number, id: Uint8Array): number {
    return Number(this.simulator.ask('find', this.node, request, group, Buffer.from(id).toString('hex')));
  }
  readJournal(group: number, index: bigint, offset: number, bytesMax: number, eventsMax: number, _filter: number): Buffer {
    return this.simulator.read(this.node, group, index, offset, bytesMax, eventsMax);
  }
  readPlace(group: number, index: bigint, offset: number): Buffer {
    return this.simulator.read(this.node, group, index, offset, 1, 1);
  }
  firstIndex(group: number): bigint {
    return BigInt(this.simulator.ask('first', this.node, group));
  }
  appliedIndex(group: number): bigint {
    return BigInt(this.simulator.ask('applied', this.node, group));
  }
  status(): NativeStatus {
    throw new Error('nothing here asks for the status');
  }
}

/** The lane of these members is not the simulator's: what its entries are followed by would wait for them for ever. */
function unfollowing(submission: Uint8Array): Buffer {
  const bytes = Buffer.from(submission);
  if (bytes[SUBMISSION.version] !== FOLLOWING_VERSION) return bytes;
  const at = SUBMISSION.body + (bytes[SUBMISSION.originBytes] as number);
  const plain = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 4 + 20 * bytes.readUInt16LE(at))]);
  plain[SUBMISSION.version] = SUBMISSION_VERSION;
  plain.writeUInt32LE(plain.length, SUBMISSION.length);
  return plain;
}

export class PolicyNode {
  readonly requests: Requests;
  readonly queries: Queries;
  readonly journal: Journal;
  readonly placing: Placing;
  readonly #publisher: Publisher;
  readonly #loss: QuorumLoss;
  readonly #unplaced: Unplaced;
  readonly #places: Places;
  readonly #ids: EventIds;
  readonly #plant: Plant;
  #runs = true;
  session: SessionState;

  constructor(simulator: Simulator, node: number, ports: Ports, lane: SimulatedLane, plant: Plant = null) {
    this.#plant = plant;
    const core = new SimulatedCore(simulator, node, plant, (packed) => this.take(packed));
    const [nodeId, voters] = [simulator.nodes[node] as string, simulator.nodes.length];
    const catalogue = new Catalogue({});
    const cursors = new CursorCodec(CLUSTER);
    const timeoutMs = 10_000;
    const { monotonicMs } = ports;
    this.#ids = new EventIds(ports);
    const writer = new SubmissionWriter(catalogue, this.#ids);
    this.session = new SessionState(this.#ids.next());
    this.requests = new Requests(core, monotonicMs);
    this.journal = new Journal(core, catalogue, cursors);
    const groupSharePercentage = plant === 'share-ignored' ? 100 : GROUP_SHARE_PERCENTAGE;
    const options = { nodeId, groups: ADMITTED_GROUPS, voters: () => voters, pendingBytesMax: PENDING_BYTES_MAX, groupSharePercentage, timeoutMs };
    const placeOf = (group: number, index: bigint, offset: number) => {
      const delivery = this.journal.kept(group, { index, offset });
      return { term: delivery?.term ?? 0n, hlc: delivery?.event.hlc ?? 0n };
    };
    this.#publisher = new Publisher(core, this.requests, writer, cursors, options, placeOf);
    const named = (name: string) => ({ name, member: BigInt(simulator.nodes.indexOf(name)), incarnation: 0 });
    const quorum = new QuorumWatch({ monotonicMs, leadershipOf: (group) => ({ led: simulator.ask('led', node, group) === '1', electionTimeoutMaxMs: ELECTION_MAX_MS }) });
    this.placing = new Placing({
      quorum,
      catalogue,
      ids: this.#ids,
      publish: (notices, group, session) => this.#place(notices, group, session),
      keep: (event) => lane.publish([event], { requestedLevel: 'causal', degraded: false, rule: null }, () => this.#runs),
    });
    // Of the causal lane nothing is asked here.
    const causal = {
      find: async () => null,
      at: () => undefined,
      kept: () => undefined,
      askedOf: () => null,
      fetch: () => {},
      receiptOf: () => {
        throw new Error('there is no causal lane');
      },
    };
    this.#places = new Places({ placing: this.placing, journal: this.journal, causal, origins: { named }, cursors, catalogue, timeoutMs });
    this.queries = new Queries({ core, requests: this.requests, journal: this.journal, causal, writer, cursors, places: this.#places, roster: { voters }, nodeId, groups: GROUPS, timeoutMs, check: () => {} });

    // A plant is what the others rely on, done otherwise.
    const believesAll = plant === 'lowered-though-handed' || plant === 'earlier-lives-forgotten';
    const placing = plant === 'later-overtakes' ? Object.assign(Object.create(this.placing) as Placing, { holds: () => false }) : this.placing;
    this.#loss = new QuorumLoss({
      quorum,
      placing: bound(placing, this.placing),
      writer,
      ids: this.#ids,
      nodeId,
      bytesMax: 4 * PENDING_BYTES_MAX,
      timeoutMs,
      monotonicMs,
      firstLife: lane.isNew || believesAll,
      degrades: true,
      reaches: () => true,
      known: (...args) => (believesAll ? Promise.resolve(null) : this.queries.known(...args)),
      ordered: (events, choice, asked, session, each) => this.#order(events, choice, asked, session, each),
      causal: (events, _, __, said) => lane.publish(events, said, () => this.#runs),
    });
    const opened = lane.open();
    if (plant === 'forgotten-at-restart') opened.unread = () => [];
    this.#unplaced = new Unplaced(opened, this.placing);
    void this.#unplaced.look();
  }

  newSession(): void {
    this.session = new SessionState(this.#ids.next());
  }

  async publish(events: readonly EventInput[], options: PublishOptions, onQuorumLoss: OnQuorumLoss, session: SessionState | null): Promise<Ending[]> {
    if (this.#plant === 'sequences-lost') session?.in(0).take(1);
    const decision = { level: options.consistency as OrderedLevel, rule: null, quorumSize: undefined, timeoutMs: undefined, onQuorumLoss, lossRule: 'sim' };
    const { attempted, ...rest } = options;
    const known = this.#plant === 'lowered-though-handed' || attempted === undefined ? rest : options;
    try {
      const endings = await this.#loss.publish(events, decision, known, 0, session, true);
      return endings.map(toldTruly);
    } catch (error) {
      throw toldTruly(error);
    }
  }

  /** To the ordered lane. With a plant, whoever asks is told that no leader has it. */
  async #order(events: readonly EventInput[], choice: Choice, options: PublishOptions, session: SessionState | null, each: boolean): Promise<Ending[]> {
    try {
      const endings = await this.#publisher.publish(events, choice, options, session, each);
      return await Promise.all(endings.map((ending, at) => this.#places.firstReceipt(this.#toldWrongly(ending), events[at] as EventInput, 0)));
    } catch (error) {
      throw this.#toldWrongly(error);
    }
  }

  #toldWrongly<T>(ending: T): T {
    if (this.#plant !== 'lowered-though-handed' || !(ending instanceof CoordinatorError) || ending.committed !== 'unknown') return ending;
    return new CoordinatorError(ending.code, ending.message, { committed: 'no', cause: ending }) as T;
  }

  #place(notices: readonly EventInput[], group: number, session: SessionState | null): Promise<Ending[]> {
    if (this.#plant === 'place-forgotten') return Promise.resolve(notices.map(() => ({}) as Receipt));
    return this.#publisher.publish(notices, CHOICE, { group }, session, true);
  }

  take(packed: Buffer): void {
    if (this.#plant === 'unknown-is-no' && packed.readUInt8(4) === END.withdrawn) packed.writeUInt32LE(1, 44);
    if (this.#plant === 'places-shifted' && packed.readUInt8(4) === END.accepted) packed.writeBigUInt64LE(packed.readBigUInt64LE(16) + 1n, 16);
    for (const end of endsOf(packed)) this.requests.end(end);
  }

  /** Its process is gone, as every caller learns. */
  ended(): void {
    this.#runs = false;
    this.requests.endAll(new CoordinatorError('CLOSED', 'the node has ended', { committed: 'unknown' }));
    this.#publisher.release();
    this.#unplaced.close();
    this.placing.close();
    this.#loss.close();
  }
}

/** What a plant has told wrongly on the way, as it is. */
function toldTruly<T>(ending: T): T {
  return ending instanceof CoordinatorError && ending.cause instanceof CoordinatorError && ending.cause.code === ending.code && ending.cause.committed === 'unknown' ? (ending.cause as T) : ending;
}

/** Methods called on one object work on the other, whose private fields they need. */
function bound<T extends object>(object: T, on: T): T {
  return new Proxy(object, {
    get(target, name) {
      const value: unknown = Object.hasOwn(target, name) ? Reflect.get(target, name) : Reflect.get(on, name);
      return typeof value === 'function' ? value.bind(on) : value;
    },
    set: (_, name, value) => Reflect.set(on, name, value),
  });
}
