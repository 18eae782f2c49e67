/** A stream that pulls when its reader asks, so that a slow one costs a cursor and a buffer, no more. */
import type { Delivery, SubscribeOptions, Subscription } from '../contracts/index.js';
import type { FilterHandle } from '../native/index.js';
import { onAbort } from '../runtime/index.js';

const BUFFER_BYTES_MIN = 4096;
export const EVENTS_MAX = 16_384;

export abstract class PulledSubscription implements Subscription, AsyncIterator<Delivery> {
  #forget = (): void => {};
  readonly #filter: FilterHandle | null;
  protected readonly bytesMax: number;
  readonly #ended = new AbortController();
  #items: Iterator<Delivery> | null = null;
  /** One pull at a time: an iterator asked twice at once answers in order. */
  #turn: Promise<unknown> = Promise.resolve();
  /** Pulls that are under way, or wait for their turn. */
  #pulls = 0;
  /** Called once, when the stream has ended. */
  onEnd: () => void = () => {};

  constructor(options: SubscribeOptions, filter: FilterHandle | null) {
    this.#filter = filter;
    this.bytesMax = Math.max(BUFFER_BYTES_MIN, Math.min(options.bufferBytesMax ?? 0, 0xffffffff));
    if (options.signal?.aborted) this.#finish();
    else this.#forget = onAbort(options.signal, this.#finish);
  }

  /** The next deliveries; null where there were none yet, after a while or when there may be some. */
  protected abstract fetch(): Promise<Iterable<Delivery> | null>;

  protected get signal(): AbortSignal {
    return this.#ended.signal;
  }
  /** Number of the filter, 0 for none. */
  protected get filter(): number {
    return this.#filter?.number ?? 0;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Delivery>> {
    // What is there already waits for nobody: turns would cost more than the delivery.
    if (this.#pulls === 0 && this.#items !== null) {
      try {
        const item = this.#items.next();
        if (item.done !== true) return Promise.resolve({ done: false, value: item.value });
      } catch (error) {
        this.#finish();
        return Promise.reject(error);
      }
    }
    this.#pulls += 1;
    const result = this.#turn.then(() => this.#pull());
    // Without what it came to: that is the reader's.
    const ended = () => {
      this.#pulls -= 1;
    };
    this.#turn = result.then(ended, ended);
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
    this.#forget();
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
        const fetched = await this.fetch();
        if (fetched !== null && !this.#ended.signal.aborted) this.#items = fetched[Symbol.iterator]();
      }
    } catch (error) {
      // What was under way when the stream ended ended with it: the stream's end is what its reader is told.
      if (this.#ended.signal.aborted) return { done: true, value: undefined };
      this.#finish();
      throw error;
    }
  }
}
