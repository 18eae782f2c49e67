/** One life of a simulated member with the product's own policy over it: publisher, requests, queries, journal. */
import type { Ports } from '../../dist/runtime/index.js';
import { CoordinatorError } from '../../dist/errors/index.js';
import type { EventInput, OrderedLevel, PublishOptions } from '../../dist/index.js';
import { Catalogue, CursorCodec, EventIds, SubmissionWriter } from '../../dist/events/index.js';
import { Journal } from '../../dist/coordinator/journal.js';
import { type Ending, levelOf, Publisher } from '../../dist/coordinator/publisher.js';
import { Queries } from '../../dist/coordinator/queries.js';
import { Requests } from '../../dist/coordinator/requests.js';
import { SessionState } from '../../dist/coordinator/session.js';
import { TAKEN } from '../../dist/native/core.js';
import { END, endsOf } from '../../dist/native/ends.js';
import type { NativeStatus } from '../../dist/native/index.js';
import type { Simulator } from './simulator.js';

export const PENDING_BYTES_MAX = 16 * 1024;
/** Of these, what the one group that is published to may take beside another that is quiet (decision 18). */
const GROUP_SHARE_PERCENTAGE = 50;
export const GROUP_BYTES_MAX = (PENDING_BYTES_MAX * GROUP_SHARE_PERCENTAGE) / 100;
const ADMITTED_GROUPS = 2;
const CLUSTER = 'sim';
const GROUPS = 1;
/** An end without a body (docs/formats.md, "Packed ends"). */
const END_BYTES = 56;

/** Known mistakes, to see that the checks can fail. */
export const PLANTS = ['unknown-is-no', 'places-shifted', 'barrier-without-asking', 'sequences-lost', 'share-ignored'] as const;
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
    return Number(this.simulator.ask('submit', this.node, request, appliedQuorum, Buffer.from(submission).toString('hex')));
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

export class PolicyNode {
  readonly requests: Requests;
  readonly queries: Queries;
  readonly journal: Journal;
  readonly #publisher: Publisher;
  readonly #ids: EventIds;
  readonly #plant: Plant;
  session: SessionState;

  constructor(simulator: Simulator, node: number, ports: Ports, plant: Plant = null) {
    this.#plant = plant;
    const core = new SimulatedCore(simulator, node, plant, (packed) => this.take(packed));
    const [nodeId, voters] = [simulator.nodes[node] as string, simulator.nodes.length];
    const catalogue = new Catalogue({});
    const cursors = new CursorCodec(CLUSTER);
    const timeoutMs = 10_000;
    this.#ids = new EventIds(ports);
    const writer = new SubmissionWriter(catalogue, this.#ids);
    this.session = new SessionState(this.#ids.next());
    this.requests = new Requests(core, ports.monotonicMs);
    this.journal = new Journal(core, catalogue, cursors);
    const groupSharePercentage = plant === 'share-ignored' ? 100 : GROUP_SHARE_PERCENTAGE;
    const options = { nodeId, groups: ADMITTED_GROUPS, voters: () => voters, pendingBytesMax: PENDING_BYTES_MAX, groupSharePercentage, timeoutMs };
    const placeOf = (group: number, index: bigint, offset: number) => {
      const delivery = this.journal.kept(group, { index, offset });
      return { term: delivery?.term ?? 0n, hlc: delivery?.event.hlc ?? 0n };
    };
    this.#publisher = new Publisher(core, this.requests, writer, cursors, options, placeOf);
    // Of the causal lane nothing is asked here.
    const causal = {
      find: async () => null,
      at: () => undefined,
      receiptOf: () => {
        throw new Error('there is no causal lane');
      },
    };
    this.queries = new Queries({ core, requests: this.requests, journal: this.journal, causal, writer, cursors, roster: { voters }, nodeId, groups: GROUPS, timeoutMs });
  }

  newSession(): void {
    this.session = new SessionState(this.#ids.next());
  }

  publish(events: readonly EventInput[], options: PublishOptions, session: SessionState | null): Promise<Ending[]> {
    if (this.#plant === 'sequences-lost') session?.in(0).take(1);
    return this.#publisher.publish(events, levelOf(options) as OrderedLevel, options, session, true);
  }

  take(packed: Buffer): void {
    if (this.#plant === 'unknown-is-no' && packed.readUInt8(4) === END.withdrawn) packed.writeUInt32LE(1, 44);
    if (this.#plant === 'places-shifted' && packed.readUInt8(4) === END.accepted) packed.writeBigUInt64LE(packed.readBigUInt64LE(16) + 1n, 16);
    for (const end of endsOf(packed)) this.requests.end(end);
  }

  /** Its process is gone, as every caller learns. */
  ended(): void {
    this.requests.endAll(new CoordinatorError('CLOSED', 'the node has ended', { committed: 'unknown' }));
    this.#publisher.release();
  }
}
