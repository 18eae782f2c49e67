/** A stream over the journal of an ordered group. */
import type { Delivery, SubscribeOptions } from '../contracts/index.js';
import type { DeliveryContext, DeliveryReader } from '../events/index.js';
import { CAUSAL_GROUP, type FilterHandle } from '../native/index.js';
import type { Consumer } from './consumer.js';
import type { Growth } from './growth.js';
import { after, before, type Journal } from './journal.js';
import type { Position } from './position.js';
import { EVENTS_MAX, PulledSubscription } from './pulled-subscription.js';

const GIVEN_UP_LOOK_MS = 500;

export interface SubscriptionPorts {
  readonly journal: Journal;
  readonly growth: Growth;
  readonly group: number;
  /** Entries of the causal lane that are delivered here. */
  delivered(): bigint;
  /** Opens the named consumer, standing after `from` if it is new. */
  attach(name: string, from: Position, signal: AbortSignal): Promise<Consumer>;
}

export class JournalSubscription extends PulledSubscription {
  readonly #ports: SubscriptionPorts;
  readonly #options: SubscribeOptions;
  #consumer: Consumer | null = null;
  #context: DeliveryContext | null = null;
  #index: bigint;
  #offset: number;

  /** `start`: the first event that is delivered, unless a named consumer stands elsewhere. */
  constructor(ports: SubscriptionPorts, options: SubscribeOptions, start: Position, filter: FilterHandle | null) {
    super(options, filter);
    this.#ports = ports;
    this.#options = options;
    this.#index = start.index;
    this.#offset = start.offset;
  }

  protected async fetch(): Promise<Iterable<Delivery> | null> {
    const context = await this.#open();
    if (this.signal.aborted) return null;
    // Looked at before the read: what comes after it is waited for.
    const delivered = this.#ports.delivered();
    const reader = this.#read(context);
    if (reader.count > 0) {
      if (this.#consumer !== null) {
        const last = [...reader].at(-1);
        if (last !== undefined) await this.#consumer.claim({ index: last.index, offset: last.offset }, this.signal);
      }
      return reader;
    }
    if (reader.waits) {
      // Looked at again now and then: what nobody has any more is given up without the lane growing.
      await this.#ports.growth.past(CAUSAL_GROUP, delivered, AbortSignal.any([this.signal, AbortSignal.timeout(GIVEN_UP_LOOK_MS)]));
    } else if (reader.nextIndex > reader.appliedIndex) {
      // Watch first, look again, then sleep: what is applied in between is not missed.
      await this.#ports.growth.past(context.group, reader.appliedIndex, this.signal);
    } else {
      // A filter that lets little through: others get their turn between two stretches of the journal.
      await new Promise((resolve) => setImmediate(resolve));
    }
    return null;
  }

  #read(context: DeliveryContext): DeliveryReader {
    const from = { index: this.#index, offset: this.#offset };
    const reader = this.#ports.journal.read(context, from, this.bytesMax, EVENTS_MAX, this.filter);
    this.#index = reader.nextIndex;
    this.#offset = reader.nextOffset;
    return reader;
  }

  async #open(): Promise<DeliveryContext> {
    if (this.#context !== null) return this.#context;
    const { journal, group, attach } = this.#ports;
    const { consumer, from } = this.#options;
    if (consumer !== undefined) {
      this.#consumer = await attach(consumer, before({ index: this.#index, offset: this.#offset }), this.signal);
      const { acknowledged } = this.#consumer;
      const stands = acknowledged.index === 0n ? acknowledged : after(acknowledged);
      // What the journal has let go of is skipped only by a caller who says from where to go on.
      const gone = stands.index !== 0n && stands.index < journal.firstIndex(group);
      if (!gone || from === undefined) {
        this.#index = stands.index;
        this.#offset = stands.offset;
      }
    }
    this.#context = { ...journal.context(group), consumer: this.#consumer };
    return this.#context;
  }
}
