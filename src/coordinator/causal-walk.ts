/** Events of the causal lane that are related to one, in the order in which a subscription gives them. */
import type { CausalRelation } from '../contracts/index.js';
import { CATEGORIES, type CausalContext, CausalDeliveries, type CausalDelivery, type CausalPast, type CausalPlace } from '../events/index.js';
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
/** Events that are looked for in other logs before others get their turn. */
const LOOKED_FOR_MAX = 8;
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
    const { past, relation, filter } = this.#wanted;
    const { standings } = this.#ports;
    const stands = this.#stands(read);
    const concurrent = new Map<string, CausalDelivery[]>();
    for (const [delivery, is] of stands) {
      if (is !== 'concurrent') continue;
      const ofLog = concurrent.get(delivery.origin.name);
      if (ofLog === undefined) concurrent.set(delivery.origin.name, [delivery]);
      else ofLog.push(delivery);
    }
    // One that is not related where it was met may be where it stands, too.
    let looked = 0;
    for (const ofLog of concurrent.values()) {
      for (const delivery of standings.doubled(ofLog, filter)) {
        stands.set(delivery, past.relation(standings.all(delivery)));
        looked += 1;
        if (looked % LOOKED_FOR_MAX === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    }
    return [...stands].flatMap(([delivery, is]) => (is === relation ? [delivery] : []));
  }

  /** How deliveries stand to the event where they were met, up to where nothing more comes that is wanted. */
  #stands(read: Iterable<CausalDelivery>): Map<CausalDelivery, CausalRelation> {
    const { past, relation } = this.#wanted;
    const stands = new Map<CausalDelivery, CausalRelation>();
    for (const delivery of this.#admitted(read)) {
      const is = past.relation([delivery]);
      // Nothing comes before what happened before it.
      if (relation === 'before' && is !== 'before' && past.isIn(delivery)) {
        this.#ended = true;
        break;
      }
      stands.set(delivery, is);
    }
    return stands;
  }

  *#admitted(read: Iterable<CausalDelivery>): Generator<CausalDelivery> {
    for (const delivery of read) {
      if (!this.#wanted.own && (delivery.event.code & 0xff00) === CATEGORIES.coordinator) continue;
      // What happened before may be met first in a log where it did not.
      if (this.#wanted.relation === 'before' || this.#until.of(delivery.origin) >= delivery.index) yield delivery;
    }
  }
}
