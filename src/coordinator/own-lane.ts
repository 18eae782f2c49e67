/** What this node has written in the causal lane, in this life and in earlier ones, as far as it is delivered here. */
import type { OrderedEvent } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type CausalContext, CausalDeliveries, type CausalDelivery, CausalPlace, DEGRADED, type Origin, PLACED } from '../events/index.js';
import { type Core, causalActor, causalLatest, causalOldest, FilterHandle, NativeCausalReader } from '../native/index.js';
import type { Origins } from './origins.js';
import { EVENTS_MAX } from './pulled-subscription.js';

export interface OwnLanePorts {
  readonly core: Pick<Core, 'handle'>;
  readonly nodeId: string;
  readonly context: CausalContext;
  readonly origins: Origins;
}

export interface LaneEvent {
  readonly event: OrderedEvent;
  /** Who has written it, as clocks spell it. */
  readonly actor: string;
  readonly index: bigint;
  readonly offset: number;
  readonly clock: { readonly [actor: string]: string };
}

const READ_BYTES = 1024 * 1024;

export class OwnLane {
  readonly #ports: OwnLanePorts;
  #reader: NativeCausalReader;
  readonly #filter = new FilterHandle([DEGRADED, PLACED], [], []);

  constructor(ports: OwnLanePorts) {
    this.#ports = ports;
    const { handle } = ports.core;
    this.#reader = new NativeCausalReader(handle, causalOldest(handle));
  }

  /** Who this node has written as, `except` left out, where more of it is delivered than was read; with how much was read. */
  unread(except: string | null): readonly (readonly [Origin, bigint])[] {
    const { core, origins } = this.#ports;
    const [end, had] = [causalLatest(core.handle), this.#reader.place()].map((place) => CausalPlace.read(place)) as [CausalPlace, CausalPlace];
    const own = origins.refresh().filter(({ name }) => name !== except && this.#isOwn(name));
    return own.filter((origin) => had.of(origin) < end.of(origin)).map((origin) => [origin, had.of(origin)]);
  }

  /** What was noted of lowered events, from where the last call has come to; null where nothing comes now: at the end, or before the lane can be read. */
  notes(): readonly LaneEvent[] | null {
    const deliveries = new CausalDeliveries(this.#read(), this.#ports.context, CausalPlace.first);
    const own = Array.from(deliveries, laneEventOf).filter(({ event }) => event.origin === this.#ports.nodeId);
    // Of a large entry a part may come.
    return deliveries.moved > 0 || deliveries.blocks > 0 ? own : null;
  }

  /** What has gone of the logs meanwhile is passed over. */
  #read(): Buffer {
    const read = () => this.#reader.read(READ_BYTES, EVENTS_MAX, this.#filter.number);
    try {
      return read();
    } catch (thrown) {
      if (!(thrown instanceof CoordinatorError) || thrown.code !== 'CURSOR_COMPACTED') throw thrown;
      const { handle } = this.#ports.core;
      const place = CausalPlace.read(this.#reader.place()).with(CausalPlace.read(causalOldest(handle)));
      this.#reader = new NativeCausalReader(handle, place.encode());
      return read();
    }
  }

  /** Those of the events behind one in its entry that are wanted. */
  async behind({ actor, index, offset }: Pick<LaneEvent, 'actor' | 'index' | 'offset'>, wanted: ReadonlySet<string>): Promise<LaneEvent[]> {
    const { core, origins, context } = this.#ports;
    const place = CausalPlace.read(new NativeCausalReader(core.handle, null).place()).at(origins.named(actor), index, offset);
    const reader = new NativeCausalReader(core.handle, place.encode());
    const found: LaneEvent[] = [];
    for (;;) {
      const read = Array.from(new CausalDeliveries(reader.read(READ_BYTES, wanted.size, 0), context, place), laneEventOf);
      const inEntry = read.filter((one) => one.actor === actor && one.index === index);
      found.push(...inEntry.filter(({ event }) => wanted.has(event.id)));
      if (inEntry.length === 0 || inEntry.length < read.length || found.length === wanted.size) return found;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Who this node writes as now; null while that is not decided. */
  get actor(): string | null {
    return causalActor(this.#ports.core.handle) || null;
  }

  /** A place, of this node's own logs short of these entries, and of what `unread` has of them; what has gone is in it all the same, if it was. */
  before(place: CausalPlace, entries: readonly Pick<LaneEvent, 'actor' | 'index'>[], except: string | null): CausalPlace {
    const { core, origins } = this.#ports;
    const limits = entries.filter(({ actor }) => this.#isOwn(actor)).map(({ actor, index }) => [origins.named(actor), index - 1n] as const);
    const [capped, oldest] = [place.capped([...limits, ...this.unread(except)]), CausalPlace.read(causalOldest(core.handle))];
    return place.covers(oldest) ? capped.with(oldest) : capped;
  }

  #isOwn(actor: string): boolean {
    const { nodeId } = this.#ports;
    return actor === nodeId || actor.startsWith(`${nodeId}~`);
  }

  /** Whether an entry has gone from its log: nobody has it who could give it back. */
  isGone({ actor, index }: Pick<LaneEvent, 'actor' | 'index'>): boolean {
    return CausalPlace.read(causalOldest(this.#ports.core.handle)).of(this.#ports.origins.named(actor)) >= index;
  }

  close(): void {
    this.#filter.free();
  }
}

const laneEventOf = ({ event, origin, index, offset, clock }: CausalDelivery): LaneEvent => ({ event, actor: origin.name, index, offset, clock });
