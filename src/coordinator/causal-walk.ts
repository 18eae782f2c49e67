/** Events of the causal lane that are related to one, in the order in which a subscription gives them. */
import type { CausalRelation } from '../contracts/index.js';
import { CATEGORIES, type CausalContext, CausalDeliveries, type CausalDelivery, type CausalPast, CausalPlace } from '../events/index.js';
import { type Core, NativeCausalReader } from '../native/index.js';
import { compacted } from './causal-subscription.js';
import type { Standings } from './standings.js';

export interface WalkPorts {
  readonly core: Pick<Core, 'handle'>;
  readonly context: CausalContext;
  readonly standings: Standings;
}

/** Which events are wanted, and how much is read at a time. */
export interface Wanted {
  readonly past: CausalPast;
  readonly relation: CausalRelation;
  /** Number of a filter, 0 for none. */
  readonly filter: number;
  /** The coordinator's own events too. */
  readonly own: boolean;
  readonly bytesMax: number;
}

/** Little enough that what is read beyond the end costs nothing to speak of. */
const EVENTS_MAX = 1024;
/** Entries that are looked for in other logs before others get their turn. */
const LOOKED_FOR_MAX = 32;
/** Before the lane has looked through its logs after an open, readers are given nothing. */
const RETRY_MS = 20;

export class CausalWalk {
  readonly #ports: WalkPorts;
  readonly #wanted: Wanted;
  readonly #until: CausalPlace;
  readonly #reader: NativeCausalReader;
  #place: CausalPlace;
  #ended = false;

  constructor(ports: WalkPorts, wanted: Wanted, from: CausalPlace, until: CausalPlace) {
    this.#ports = ports;
    this.#wanted = wanted;
    this.#until = until;
    this.#place = from;
    this.#reader = new NativeCausalReader(ports.core.handle, from.encode());
  }

  /** The next of them, of one read, so that there may be none; null at the end. Throws `CURSOR_COMPACTED` and `LOG_DAMAGED`. */
  async next(): Promise<readonly CausalDelivery[] | null> {
    if (this.#ended || this.#place.covers(this.#until)) return null;
    const read = new CausalDeliveries(this.#read(), this.#ports.context, this.#place);
    this.#place = read.next;
    await new Promise((resolve) => (read.blocks + read.moved > 0 ? setImmediate(resolve) : setTimeout(resolve, RETRY_MS)));
    return this.#related(read);
  }

  #read(): Buffer {
    const { core, context } = this.#ports;
    try {
      return this.#reader.read(this.#wanted.bytesMax, EVENTS_MAX, this.#wanted.filter);
    } catch (thrown) {
      throw compacted(thrown, core.handle, context.cursors);
    }
  }

  async #related(read: Iterable<CausalDelivery>): Promise<CausalDelivery[]> {
    const { past, relation } = this.#wanted;
    const related: CausalDelivery[] = [];
    let looked = 0;
    for (const entry of entriesOf(this.#admitted(read))) {
      const stands = entry.map((delivery) => past.relation([delivery]));
      // One that is not related here may be where it stands, too.
      const concurrent = entry.filter((_, at) => stands[at] === 'concurrent');
      const doubled = this.#ports.standings.doubled(concurrent);
      for (const [at, delivery] of entry.entries()) {
        const is = doubled.has(delivery.offset) ? past.relation(this.#ports.standings.all(delivery)) : stands[at];
        if (is === relation) related.push(delivery);
      }
      // Nothing comes before what happened before it. A large entry comes in parts.
      if (relation === 'before' && stands.at(-1) !== 'before' && past.isIn(entry[0] as CausalDelivery)) {
        this.#ended = true;
        break;
      }
      looked += concurrent.length > 0 ? 1 + doubled.size : 0;
      if (looked < LOOKED_FOR_MAX) continue;
      looked = 0;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return related;
  }

  *#admitted(read: Iterable<CausalDelivery>): Generator<CausalDelivery> {
    for (const delivery of read) {
      if (!this.#wanted.own && (delivery.event.code & 0xff00) === CATEGORIES.coordinator) continue;
      // What happened before may be met first in a log where it did not.
      if (this.#wanted.relation === 'before' || this.#until.of(delivery.origin) >= delivery.index) yield delivery;
    }
  }
}

function* entriesOf(deliveries: Iterable<CausalDelivery>): Generator<CausalDelivery[]> {
  let entry: CausalDelivery[] = [];
  for (const delivery of deliveries) {
    const [first] = entry;
    if (first !== undefined && (first.index !== delivery.index || first.origin.name !== delivery.origin.name)) {
      yield entry;
      entry = [];
    }
    entry.push(delivery);
  }
  if (entry.length > 0) yield entry;
}
