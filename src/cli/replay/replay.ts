import { type ApiClient, isRetryable, OrderedPublisher, type RemotePublishOptions, RoundRobinPublisher } from '../../api/index.js';
import type { EventInput, Receipt } from '../../contracts/index.js';
import { CoordinatorError } from '../../errors/index.js';
import { newEventId } from '../../events/index.js';
import { Latencies } from './latencies.js';
import { Pace } from './pace.js';

/** What one operation of a trace becomes; null for a read that stays local. */
export type ReplayEvent = EventInput | null;

export interface ReplayOptions {
  readonly clients: readonly ApiClient[];
  readonly publish: RemotePublishOptions & { readonly timeoutMs: number };
  /** Events a second; null for as many as go. */
  readonly rate: number | null;
  readonly signal?: AbortSignal;
  /** Called for every acknowledged event before the next goes out (with one node: in order). */
  readonly onReceipt?: (receipt: Receipt) => void;
  /** Called after every operation. */
  readonly onProgress?: (done: number) => void;
}

export interface ReplaySummary {
  /** Operations read from the trace. */
  readonly operations: number;
  /** Events acknowledged. */
  readonly events: number;
  readonly skippedReads: number;
  /** Events that got no receipt. */
  readonly failed: number;
  /** Attempts beyond an event's first. */
  readonly retries: number;
  /** Receipts that came from an earlier attempt. */
  readonly duplicates: number;
  readonly elapsedMs: number;
  readonly eventsPerSecond: number;
  readonly publishP50Us: number;
  readonly publishP99Us: number;
  readonly publishMaxUs: number;
  /** Longest time between two acknowledged publishes. */
  readonly longestGapMs: number;
}

/**
 * Publishes recorded activity in its order. Through several nodes: one event after the other, each through the next node of the list.
 * Through one node: many on their way at once, since its stream keeps their order.
 */
export class Replay {
  readonly #options: ReplayOptions;
  readonly #latencies = new Latencies();
  readonly #pace: Pace;
  #operations = 0;
  #events = 0;
  #skippedReads = 0;
  #failed = 0;
  #retries = 0;
  #duplicates = 0;
  #startMs = 0;
  #lastAckMs: number | null = null;
  #longestGapMs = 0;
  #failure: CoordinatorError | null = null;

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#pace = new Pace(options.rate);
  }

  /** The first failure, or null. After one that no further try can cure, nothing more is published. */
  get failure(): CoordinatorError | null {
    return this.#failure;
  }

  async run(trace: AsyncIterable<ReplayEvent> | Iterable<ReplayEvent>): Promise<ReplaySummary> {
    this.#startMs = performance.now();
    if (this.#options.clients.length > 1) await this.#roundRobin(trace);
    else await this.#pipelined(trace);
    return this.summary();
  }

  summary(): ReplaySummary {
    const elapsedMs = performance.now() - this.#startMs;
    return {
      operations: this.#operations,
      events: this.#events,
      skippedReads: this.#skippedReads,
      failed: this.#failed,
      retries: this.#retries,
      duplicates: this.#duplicates,
      elapsedMs: Math.round(elapsedMs),
      eventsPerSecond: Math.round((this.#events * 1000) / Math.max(1, elapsedMs)),
      publishP50Us: Math.round(this.#latencies.at(0.5)),
      publishP99Us: Math.round(this.#latencies.at(0.99)),
      publishMaxUs: Math.round(this.#latencies.at(1)),
      longestGapMs: Math.round(this.#longestGapMs * 10) / 10,
    };
  }

  async #roundRobin(trace: AsyncIterable<ReplayEvent> | Iterable<ReplayEvent>): Promise<void> {
    const publisher = new RoundRobinPublisher(this.#options.clients, { ...this.#options.publish, ...this.#hooks() });
    for await (const event of this.#eventsOf(trace)) {
      const startedMs = performance.now();
      this.#settled(await publisher.publish(event), startedMs);
      if (this.#over()) return;
    }
  }

  async #pipelined(trace: AsyncIterable<ReplayEvent> | Iterable<ReplayEvent>): Promise<void> {
    const { signal, onRetry } = this.#hooks();
    const publisher = new OrderedPublisher(this.#options.clients, { ...this.#options.publish, onRetry });
    const stop = (): void => publisher.close();
    signal?.addEventListener('abort', stop, { once: true });
    try {
      let last: Promise<void> = Promise.resolve();
      for await (const event of this.#eventsOf(trace)) {
        await publisher.ready();
        if (this.#over()) break;
        const startedMs = performance.now();
        last = publisher.submit(event).then((result) => this.#settled(result, startedMs));
      }
      // Results come in the order of submission, so the last one is the end of all.
      await last;
    } finally {
      signal?.removeEventListener('abort', stop);
      publisher.close();
    }
  }

  /** The events of the trace, each with its id and at its time. */
  async *#eventsOf(trace: AsyncIterable<ReplayEvent> | Iterable<ReplayEvent>): AsyncGenerator<EventInput> {
    for await (const event of trace) {
      if (this.#options.signal?.aborted) return;
      this.#operations += 1;
      if (event === null) {
        this.#skippedReads += 1;
        this.#options.onProgress?.(this.#skippedReads + this.#events + this.#failed);
        continue;
      }
      await this.#pace.turn();
      yield event.id === undefined ? { ...event, id: newEventId() } : event;
    }
  }

  #settled(result: Receipt | CoordinatorError, startedMs: number): void {
    if (result instanceof CoordinatorError) {
      this.#failed += 1;
      this.#failure ??= result;
    } else {
      const nowMs = performance.now();
      this.#latencies.add((nowMs - startedMs) * 1000);
      if (this.#lastAckMs !== null) this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastAckMs);
      this.#lastAckMs = nowMs;
      this.#events += 1;
      if (result.duplicate) this.#duplicates += 1;
      this.#options.onReceipt?.(result);
    }
    this.#options.onProgress?.(this.#skippedReads + this.#events + this.#failed);
  }

  /** A refused event leaves the others alone; where no node answers, every further one would only wait in vain. */
  #over(): boolean {
    return this.#options.signal?.aborted === true || (this.#failure !== null && isRetryable(this.#failure));
  }

  #hooks() {
    const { signal } = this.#options;
    return {
      ...(signal === undefined ? {} : { signal }),
      onRetry: () => {
        this.#retries += 1;
      },
    };
  }
}
