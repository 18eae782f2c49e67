/** A stream over the causal lane: each event once, never before what happened before it. */
import type { Delivery, SubscribeOptions } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { CATEGORIES, type CausalContext, CausalDeliveries, CausalPlace, type CursorCodec } from '../events/index.js';
import { CAUSAL_GROUP, causalOldest, type Core, type FilterHandle, NativeCausalReader } from '../native/index.js';
import type { Growth } from './growth.js';
import { EVENTS_MAX, PulledSubscription } from './pulled-subscription.js';

export interface CausalSubscriptionPorts {
  readonly core: Pick<Core, 'appliedIndex' | 'handle'>;
  readonly growth: Growth;
  readonly context: CausalContext;
  /** The coordinator's own events too: changes of CRDTs, and what is noted of lowered events. */
  readonly own: boolean;
}

export class CausalSubscription extends PulledSubscription {
  readonly #ports: CausalSubscriptionPorts;
  readonly #reader: NativeCausalReader;
  #place: CausalPlace;

  /** `start`: what a cursor names, or null for the end of what is delivered. Throws `CURSOR_INVALID`. */
  constructor(ports: CausalSubscriptionPorts, options: SubscribeOptions, start: Uint8Array | null, filter: FilterHandle | null) {
    super(options, filter);
    this.#ports = ports;
    this.#reader = new NativeCausalReader(ports.core.handle, start);
    this.#place = CausalPlace.read(this.#reader.place());
  }

  #read(): Buffer {
    try {
      return this.#reader.read(this.bytesMax, EVENTS_MAX, this.filter);
    } catch (thrown) {
      throw compacted(thrown, this.#ports.core.handle, this.#ports.context.cursors);
    }
  }

  protected async fetch(): Promise<Iterable<Delivery> | null> {
    const { core, growth, context } = this.#ports;
    // Looked at before the read: what comes after it is waited for.
    const delivered = core.appliedIndex(CAUSAL_GROUP);
    const deliveries = new CausalDeliveries(this.#read(), context, this.#place);
    this.#place = deliveries.next;
    if (deliveries.blocks > 0) return this.#ports.own ? deliveries : withoutOwn(deliveries);
    if (deliveries.moved === 0) await growth.past(CAUSAL_GROUP, delivered, this.signal);
    // A filter that lets little through: others get their turn in between.
    else await new Promise((resolve) => setImmediate(resolve));
    return null;
  }
}

/** What was asked for has gone: the sentence says where a subscription can go on. */
export function compacted(thrown: unknown, handle: number, cursors: CursorCodec): unknown {
  if (!(thrown instanceof CoordinatorError) || thrown.code !== 'CURSOR_COMPACTED') return thrown;
  const oldestCursor = cursors.encodeCausal(causalOldest(handle));
  return new CoordinatorError('CURSOR_COMPACTED', `${thrown.message}; the oldest cursor is ${oldestCursor}`, { details: { oldestCursor }, cause: thrown });
}

function* withoutOwn(deliveries: Iterable<Delivery>): Generator<Delivery> {
  for (const delivery of deliveries) if ((delivery.event.code & 0xff00) !== CATEGORIES.coordinator) yield delivery;
}

/** The place that a subscription begins with; null for the end of what is delivered. Throws `USAGE` and `CURSOR_INVALID`. */
export function startOf(from: string | undefined, cursors: CursorCodec, handle: number): Uint8Array | null {
  if (from === undefined || from === 'latest') return null;
  if (from === 'first') return causalOldest(handle);
  if (from === 'snapshot') throw new CoordinatorError('USAGE', "the causal lane has no snapshots to begin with; 'first', 'latest' and its own cursors are allowed");
  const place = cursors.decodeCausal(from);
  if (place === null) throw new CoordinatorError('CURSOR_INVALID', 'the cursor is of the ordered lane, the subscription of the causal one; a cursor holds within its lane');
  CausalPlace.read(place);
  return place;
}
