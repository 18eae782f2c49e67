/** A stream over the journal: pulls when its consumer asks, so that a slow one costs a cursor and a buffer, no more. */
import type { Delivery, SubscribeOptions, Subscription } from '../contracts/index.js';
import type { DeliveryContext, DeliveryReader } from '../events/index.js';
import type { FilterHandle } from '../native/index.js';
import type { Consumer } from './consumer.js';
import type { Growth } from './growth.js';
import { after, before, type Journal } from './journal.js';
import type { Position } from './position.js';

export interface SubscriptionPorts {
  readonly journal: Journal;
  readonly growth: Growth;
  readonly group: number;
  /** Opens the named consumer, standing after `from` if it is new. */
  attach(name: string, from: Position, signal: AbortSignal): Promise<Consumer>;
}

const BUFFER_BYTES_MIN = 4096;
const EVENTS_MAX = 16_384;

export class JournalSubscription implements Subscription, AsyncIterator<Delivery> {
  readonly #ports: SubscriptionPorts;
  readonly #options: SubscribeOptions;
  readonly #filter: FilterHandle | null;
  readonly #bytesMax: number;
  readonly #ended = new AbortController();
  #consumer: Consumer | null = null;
  #context: DeliveryContext | null = null;
  #index: bigint;
  #offset: number;
  #items: Iterator<Delivery> | null = null;
  /** One pull at a time: an iterator asked twice at once answers in order. */
  #turn: Promise<unknown> = Promise.resolve();
  /** Called once, when the stream has ended. */
  onEnd: () => void = () => {};

  /** `start`: the first event that is delivered, unless a named consumer stands elsewhere. */
  constructor(ports: SubscriptionPorts, options: SubscribeOptions, start: Position, filter: FilterHandle | null) {
    this.#ports = ports;
    this.#options = options;
    this.#filter = filter;
    this.#bytesMax = Math.max(BUFFER_BYTES_MIN, Math.min(options.bufferBytesMax ?? 0, 0xffffffff));
    this.#index = start.index;
    this.#offset = start.offset;
    if (options.signal?.aborted) this.#finish();
    else options.signal?.addEventListener('abort', this.#finish, { once: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Delivery>> {
    const result = this.#turn.then(() => this.#pull());
    this.#turn = result.catch(() => {});
    return result;
  }

  async return(): Promise<IteratorResult<Delivery>> {
    await this.close();
    return { done: true, value: undefined };
  }

  close(): Promise<void> {
    this.#finish();
    return Promise.resolve();
  }

  readonly #finish = (): void => {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort();
    this.#options.signal?.removeEventListener('abort', this.#finish);
    this.#filter?.free();
    this.#items = null;
    this.onEnd();
  };

  async #pull(): Promise<IteratorResult<Delivery>> {
    try {
      for (;;) {
        if (this.#ended.signal.aborted) return { done: true, value: undefined };
        const item = this.#items?.next();
        if (item !== undefined && item.done !== true) return { done: false, value: item.value };
        await this.#fetch();
      }
    } catch (error) {
      // What was under way when the stream ended ended with it: the stream's end is what its reader is told.
      if (this.#ended.signal.aborted) return { done: true, value: undefined };
      this.#finish();
      throw error;
    }
  }

  async #fetch(): Promise<void> {
    const context = await this.#open();
    if (this.#ended.signal.aborted) return;
    const reader = this.#read(context);
    if (reader.count > 0) {
      if (this.#consumer !== null) {
        const last = [...reader].at(-1);
        if (last !== undefined) await this.#consumer.claim({ index: last.index, offset: last.offset }, this.#ended.signal);
      }
      this.#items = reader[Symbol.iterator]();
    } else if (reader.nextIndex > reader.appliedIndex) {
      // Watch first, look again, then sleep: what is applied in between is not missed.
      await this.#ports.growth.past(context.group, reader.appliedIndex, this.#ended.signal);
    } else {
      // A filter that lets little through: others get their turn between two stretches of the journal.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #read(context: DeliveryContext): DeliveryReader {
    const from = { index: this.#index, offset: this.#offset };
    const reader = this.#ports.journal.read(context, from, this.#bytesMax, EVENTS_MAX, this.#filter?.number ?? 0);
    this.#index = reader.nextIndex;
    this.#offset = reader.nextOffset;
    return reader;
  }

  async #open(): Promise<DeliveryContext> {
    if (this.#context !== null) return this.#context;
    const { journal, group, attach } = this.#ports;
    const { consumer, from } = this.#options;
    if (consumer !== undefined) {
      this.#consumer = await attach(consumer, before({ index: this.#index, offset: this.#offset }), this.#ended.signal);
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
