/** A stream over the journal: pulls when its consumer asks, so that a slow one costs a cursor and a buffer, no more. */
import type { Delivery, SubscribeOptions, Subscription } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type CursorCodec, type DeliveryContext, DeliveryReader } from '../events/index.js';
import type { Core, FilterHandle } from '../native/index.js';
import type { Consumer, Position } from './consumer.js';
import type { Growth } from './growth.js';

export interface SubscriptionPorts {
  readonly core: Core;
  readonly growth: Growth;
  readonly context: Omit<DeliveryContext, 'consumer'>;
  readonly cursors: CursorCodec;
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
      await this.#ports.growth.past(reader.appliedIndex, this.#ended.signal);
    } else {
      // A filter that lets little through: others get their turn between two stretches of the journal.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #read(context: DeliveryContext): DeliveryReader {
    const packed = this.#ports.core.readJournal(this.#index, this.#offset, this.#bytesMax, EVENTS_MAX, this.#filter?.number ?? 0);
    const reader = new DeliveryReader(packed, context);
    this.#index = reader.nextIndex;
    this.#offset = reader.nextOffset;
    return reader;
  }

  async #open(): Promise<DeliveryContext> {
    if (this.#context !== null) return this.#context;
    const { consumer } = this.#options;
    if (consumer !== undefined) {
      this.#consumer = await this.#ports.attach(consumer, before(this.#index, this.#offset), this.#ended.signal);
      const { index, offset } = this.#consumer.acknowledged;
      this.#index = index;
      this.#offset = index === 0n ? 0 : offset + 1;
    }
    this.#context = { ...this.#ports.context, consumer: this.#consumer };
    return this.#context;
  }
}

/** The last position before this one: what a new consumer has "acknowledged" when it starts here. */
function before(index: bigint, offset: number): Position {
  if (offset > 0) return { index, offset: offset - 1 };
  return { index: index - 1n, offset: 0xfffffffe };
}

/** The event after a cursor's, or the beginning or the end of the journal. */
export function startOf(from: string | undefined, applied: bigint, cursors: CursorCodec): Position {
  if (from === 'first') return { index: 1n, offset: 0 };
  if (from === undefined || from === 'latest') return { index: applied + 1n, offset: 0 };
  const { group, index, offset } = cursors.decode(from);
  if (group !== 0) throw new CoordinatorError('GROUP_UNKNOWN', `the cursor is of group ${group}; 0 is the only one`);
  return { index, offset: offset + 1 };
}
