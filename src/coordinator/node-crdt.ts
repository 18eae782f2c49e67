/**
 * The CRDTs of a node: a write changes the object here at once, and its delta travels on the causal lane. Objects are put together from
 * that lane when the node opens, and from the states that took the place of what has gone of it, so that they are as durable as it is.
 */
import type { CrdtKey, CrdtType, EventInput, JsonValue, Receipt } from '../contracts/index.js';
import { LIMITS } from '../contracts/index.js';
import { LocalObjects, type LocalObject } from '../crdt/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type CausalContext, CausalDeliveries, CausalPlace, CRDT_DELTA } from '../events/index.js';
import { CAUSAL_GROUP, causalLatest, type Core, FilterHandle, NativeCausalReader, NativeCrdt } from '../native/index.js';
import { CrdtStates } from './crdt-states.js';
import type { Growth } from './growth.js';
import { EVENTS_MAX } from './pulled-subscription.js';
import type { Ending } from './publisher.js';

export interface NodeCrdtPorts {
  readonly core: Pick<Core, 'handle' | 'appliedIndex'>;
  readonly growth: Growth;
  readonly context: CausalContext;
  readonly nodeId: string;
  /** Who the lane writes as (rule R7), empty while that is not decided. */
  actor(): string;
  /** Of a place, what the logs are not needed for by anybody else; null where that cannot be told now. */
  free(place: CausalPlace): CausalPlace | null;
  nowMs(): number;
  randomU64(): bigint;
  publish(events: readonly EventInput[]): Promise<Ending[]>;
  /** A delta of another replica that cannot be taken in. */
  onRefused(error: CoordinatorError): void;
}

const READ_BYTES = 1024 * 1024;
/** Room for what else is in the event. */
const DELTA_BYTES_MAX = LIMITS.payloadBytesMax - 64 * 1024;
/** Of deltas in one publish. */
const BATCH_BYTES = 4 * 1024 * 1024;
/** What is in the lane counts everywhere or nowhere, whatever the clock here says. */
const ANY_STAMP = -1;
/** Between two attempts to publish what could not be. */
const RETRY_MS = 500;
/** Between two attempts to read what could not be: each holds the event loop for a while, since a repair may be under way. */
const UNREADABLE_MS = 5_000;
const POLL_MS = 10;
const TYPES: readonly string[] = ['g-counter', 'pn-counter', 'lww-register', 'mv-register', 'or-set', 'two-phase-set'] satisfies CrdtType[];

interface Waiting {
  /** Null where the write has changed nothing. */
  resolve(receipt: Receipt | null): void;
  reject(error: CoordinatorError): void;
}

/** Writes of one turn of the event loop to one object are one delta. */
class Outgoing {
  readonly waiting: Waiting[] = [];
  /** Deltas whose publish has failed. */
  readonly unsent: Uint8Array[] = [];

  constructor(readonly object: LocalObject<Promise<Receipt | null>>) {}
}

export class NodeCrdt extends LocalObjects<Promise<Receipt | null>> {
  readonly #ports: NodeCrdtPorts;
  readonly #outgoing = new Map<LocalObject<Promise<Receipt | null>>, Outgoing>();
  readonly #actors = new Map<LocalObject<Promise<Receipt | null>>, string>();
  readonly #nobody: string;
  readonly #ended = new AbortController();
  readonly #filter = new FilterHandle([CRDT_DELTA], [], []);
  readonly #states: CrdtStates;
  /** Publishes under way. */
  readonly #sending = new Set<Promise<void>>();
  #reader: NativeCausalReader | null = null;
  /** Who the lane writes as, how far it had come when that was seen first, and whether all of that is in the objects. */
  #writer = { actor: '', end: CausalPlace.first, had: false };
  /** Entries with changes that were taken in. */
  #changes = 0;
  #planned = false;
  #retry: NodeJS.Timeout | null = null;

  constructor(ports: NodeCrdtPorts) {
    super({
      makeState: (key) => new NativeCrdt(key, `${ports.nodeId}~0`, Number(ports.randomU64() >> 11n)),
      nowMs: () => ports.nowMs(),
      commit: (object, change) => this.#commit(object, change),
    });
    this.#ports = ports;
    this.#nobody = `${ports.nodeId}~${ports.randomU64().toString(16)}`;
    this.#states = new CrdtStates({
      handle: ports.core.handle,
      objects: () => this.all(),
      place: () => this.#place(),
      free: (place) => ports.free(place),
      moveTo: (place) => {
        this.#reader = new NativeCausalReader(ports.core.handle, place.encode());
      },
      published: () => this.#published(),
      merge: (key, state) => this.object(keyOf(key as JsonValue)).merge(state, ANY_STAMP),
      onWhole: () => this.catchUp(),
      onFailed: (error) => ports.onRefused(error),
    });
  }

  /**
   * Takes in everything that is delivered now. Resolves once that is done; what comes later is taken in as it comes, and so is what cannot be
   * read now, or is in states that are missing here.
   */
  async open(): Promise<void> {
    this.#states.load();
    const end = this.#end();
    try {
      while (this.#states.whole && !this.#ended.signal.aborted && !this.#place().covers(end)) {
        // Nothing is given until the lane knows the ids of its events, which takes longer the more it holds.
        const taken = this.#take();
        await new Promise((resolve) => (taken ? setImmediate(resolve) : setTimeout(resolve, POLL_MS)));
      }
    } catch (thrown) {
      this.#ports.onRefused(CoordinatorError.from(thrown));
    }
    this.#states.begin();
    void this.#follow();
  }

  /** Throws `STATE_LOST` while there is less in the objects than there was. */
  check(): void {
    this.#states.check();
  }

  /** Takes in what is delivered by now. */
  async catchUp(): Promise<void> {
    const end = this.#end();
    while (!this.#ended.signal.aborted && !this.#place().covers(end) && this.#take()) await new Promise((resolve) => setImmediate(resolve));
  }

  close(): void {
    this.#ended.abort();
    this.#states.close();
    this.#filter.free();
    if (this.#retry !== null) clearTimeout(this.#retry);
    const closed = new CoordinatorError('CLOSED', 'the node is closed', { committed: 'unknown' });
    for (const { waiting } of this.#outgoing.values()) for (const one of waiting.splice(0)) one.reject(closed);
  }

  async #follow(): Promise<void> {
    const { core, growth } = this.#ports;
    const { signal } = this.#ended;
    while (!signal.aborted) {
      const delivered = core.appliedIndex(CAUSAL_GROUP);
      try {
        const changes = this.#changes;
        if (!this.#take()) await growth.past(CAUSAL_GROUP, delivered, signal);
        // Of a lane that is busy with other events each read passes over all of them.
        else await new Promise((resolve) => (this.#changes > changes ? setImmediate(resolve) : setTimeout(resolve, POLL_MS).unref()));
      } catch (thrown) {
        if (signal.aborted) return;
        this.#ports.onRefused(CoordinatorError.from(thrown));
        await new Promise((resolve) => setTimeout(resolve, UNREADABLE_MS).unref());
      }
    }
  }

  /** What the objects have taken in. */
  #place(): CausalPlace {
    return this.#reader === null ? CausalPlace.first : CausalPlace.read(this.#reader.place());
  }

  /** The end of what is delivered. */
  #end(): CausalPlace {
    return CausalPlace.read(causalLatest(this.#ports.core.handle));
  }

  /** False where nothing comes now: at the end of what is delivered, or before the lane can be read. */
  #take(): boolean {
    if (this.#reader === null || !this.#states.whole) return false;
    const packed = this.#reader.read(READ_BYTES, EVENTS_MAX, this.#filter.number);
    const deliveries = new CausalDeliveries(packed, this.#ports.context, CausalPlace.first);
    for (const { event } of deliveries) {
      try {
        this.object(keyOf(event.metadata)).merge(event.payload, ANY_STAMP);
      } catch (thrown) {
        this.#ports.onRefused(CoordinatorError.from(thrown));
      }
    }
    this.#changes += deliveries.blocks;
    // Of a large entry a part may come.
    return deliveries.moved > 0 || deliveries.blocks > 0;
  }

  #commit(object: LocalObject<Promise<Receipt | null>>, change: () => void): Promise<Receipt | null> {
    if (this.#ended.signal.aborted) throw new CoordinatorError('CLOSED', 'the node is closed', { committed: 'no' });
    this.#actFor(object);
    change();
    const { waiting } = this.#outgoingOf(object);
    const receipt = new Promise<Receipt | null>((resolve, reject) => waiting.push({ resolve, reject }));
    this.#plan();
    return receipt;
  }

  /**
   * Dots are made by the lane's actor once all is in the objects that it has written before, or it would make them a second time. While that
   * is not so, or it is not decided who that is, by one that nobody ever was.
   */
  #actFor(object: LocalObject<Promise<Receipt | null>>): void {
    const actor = this.#hasAllOf(this.#ports.actor()) ? this.#writer.actor : this.#nobody;
    if (this.#actors.get(object) === actor) return;
    object.state.actAs(actor);
    this.#actors.set(object, actor);
  }

  #hasAllOf(actor: string): boolean {
    if (actor === '') return false;
    // Looked at after the actor: an actor goes on only where all that it has written is delivered.
    if (this.#writer.actor !== actor) this.#writer = { actor, end: this.#end(), had: false };
    this.#writer.had ||= this.#place().covers(this.#writer.end);
    return this.#writer.had;
  }

  #plan(): void {
    if (this.#planned) return;
    this.#planned = true;
    setImmediate(() => {
      this.#planned = false;
      const sent = this.#send().finally(() => this.#sending.delete(sent));
      this.#sending.add(sent);
    });
  }

  /** Resolves once all that was written until now is in the lane; false where that failed. */
  async #published(): Promise<boolean> {
    if (this.#planned) await new Promise((resolve) => setImmediate(resolve));
    await Promise.all(this.#sending);
    return ![...this.#outgoing.values()].some(({ unsent }) => unsent.length > 0);
  }

  /** Publishes what has changed since the last time. */
  async #send(): Promise<void> {
    if (this.#ended.signal.aborted) return;
    const batch = [...this.#outgoing].map(([object, outgoing]) => {
      const deltas = [...outgoing.unsent.splice(0), ...object.state.takeDeltas(DELTA_BYTES_MAX)];
      return { outgoing, waiting: outgoing.waiting.splice(0), deltas, events: deltas.map((payload) => eventOf(object.key, payload)) };
    });
    this.#outgoing.clear();
    const endings = await this.#publish(batch.flatMap(({ events }) => events));
    let at = 0;
    for (const { outgoing, waiting, deltas } of batch) {
      const own = endings.slice(at, at + deltas.length);
      at += deltas.length;
      const failed = own.find((ending) => ending instanceof CoordinatorError);
      if (failed instanceof CoordinatorError) {
        this.#keep(outgoing, deltas.filter((_, position) => own[position] instanceof CoordinatorError));
        for (const one of waiting) one.reject(failed);
      } else for (const one of waiting) one.resolve((own.at(-1) as Receipt | undefined) ?? null);
    }
  }

  async #publish(events: readonly EventInput[]): Promise<Ending[]> {
    const endings: Ending[] = [];
    while (endings.length < events.length) {
      let [end, bytes] = [endings.length, 0];
      while (end < events.length && (end === endings.length || bytes + (events[end]?.payload?.length ?? 0) <= BATCH_BYTES)) bytes += events[end++]?.payload?.length ?? 0;
      const part = events.slice(endings.length, end);
      try {
        endings.push(...(await this.#ports.publish(part)));
      } catch (thrown) {
        const error = CoordinatorError.from(thrown);
        endings.push(...part.map(() => error));
      }
    }
    return endings;
  }

  /** What is in the state here has to go out, whatever became of its publish: it is tried again, and twice does no harm. */
  #keep({ object }: Outgoing, deltas: readonly Uint8Array[]): void {
    this.#outgoingOf(object).unsent.unshift(...deltas);
    if (this.#ended.signal.aborted) return;
    this.#retry ??= setTimeout(() => {
      this.#retry = null;
      this.#plan();
    }, RETRY_MS).unref();
  }

  #outgoingOf(object: LocalObject<Promise<Receipt | null>>): Outgoing {
    let outgoing = this.#outgoing.get(object);
    if (outgoing === undefined) {
      outgoing = new Outgoing(object);
      this.#outgoing.set(object, outgoing);
    }
    return outgoing;
  }
}

function eventOf({ name, type, map }: CrdtKey, payload: Uint8Array): EventInput {
  return { type: CRDT_DELTA, payload, metadata: { name, type, map } };
}

/** Throws `CRDT_STATE_INVALID` for metadata that names no object. */
function keyOf(metadata: JsonValue | null): CrdtKey {
  const { name, type, map } = (metadata ?? {}) as { name?: unknown; type?: unknown; map?: unknown };
  if (typeof name === 'string' && typeof type === 'string' && TYPES.includes(type) && typeof map === 'boolean') return { name, type: type as CrdtType, map };
  throw new CoordinatorError('CRDT_STATE_INVALID', `the metadata of a CRDT's delta name no object: ${JSON.stringify(metadata)?.slice(0, 200)}`);
}
