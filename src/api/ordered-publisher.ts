import type { EventInput, Receipt } from '../contracts/index.js';
import { checkTimeout, CoordinatorError } from '../errors/index.js';
import type { ApiClient, PublishStreamCall } from './client.js';
import { fromStatus } from './codec-error.js';
import { decodeCommitted } from './codec-names.js';
import { encodeEvent, eventBytes } from './codec-event.js';
import { decodeResult, encodePublishOptions, type RemotePublishOptions } from './codec-publish.js';
import { isRetryable } from './retry.js';
import type { WirePublishOptions, WirePublishResults } from './wire.js';

const WINDOW_EVENTS_MAX = 1024;
const WINDOW_BYTES_MAX = 4 * 1024 * 1024;
const MESSAGE_BYTES_MAX = 1024 * 1024;
/** With another node to turn to, one that stays silent this long is given up. */
const ATTEMPT_MS = 2000;
const BACKOFF_MIN_MS = 20;
const BACKOFF_MAX_MS = 250;

export interface OrderedPublisherOptions extends Omit<RemotePublishOptions, 'timeoutMs'> {
  /** How long one event is tried, under its one id, over all nodes; default 10,000. */
  readonly timeoutMs?: number;
  /** Called for every attempt beyond an event's first. */
  readonly onRetry?: (event: EventInput, reason: CoordinatorError) => void;
}

interface Pending {
  readonly number: bigint;
  readonly event: EventInput;
  readonly bytes: number;
  /** Set when the event is first sent. */
  deadlineMs: number | null;
  /** An earlier attempt may have reached a leader. */
  attempted: boolean;
  resolve(result: Receipt | CoordinatorError): void;
}

/**
 * Publishes events in the order they are submitted, many on their way at once, over one stream to one node at a time.
 * When the stream fails, everything from the first unacknowledged event on is sent again, in order, to the next node of the
 * list: what was committed the first time is recognised by its id. Every event needs its id before it is submitted.
 */
export class OrderedPublisher {
  readonly #clients: readonly ApiClient[];
  readonly #options: OrderedPublisherOptions;
  readonly #timeoutMs: number;
  readonly #pending: Pending[] = [];
  #pendingBytes = 0;
  #sent = 0;
  /** What the stream was told of the events that follow. */
  #attempted = false;
  #nextNumber = 1n;
  #target = 0;
  #failures = 0;
  #stream: PublishStreamCall | null = null;
  #blocked = false;
  #flushScheduled = false;
  #retryTimer: NodeJS.Timeout | null = null;
  #watchdog: NodeJS.Timeout | null = null;
  #closed = false;
  #room: (() => void)[] = [];

  constructor(clients: readonly ApiClient[], options: OrderedPublisherOptions = {}) {
    if (clients.length === 0) throw new CoordinatorError('USAGE', 'a publisher needs at least one API address');
    this.#clients = clients;
    this.#options = options;
    this.#timeoutMs = checkTimeout(options.timeoutMs ?? 10_000);
  }

  /** Resolves when another event may be submitted. */
  async ready(): Promise<void> {
    while (this.#pending.length >= WINDOW_EVENTS_MAX || this.#pendingBytes >= WINDOW_BYTES_MAX) {
      await new Promise<void>((resolve) => this.#room.push(resolve));
    }
  }

  /** Never rejects: the event's receipt, or why it has none. Results come in the order of submission. */
  submit(event: EventInput): Promise<Receipt | CoordinatorError> {
    if (this.#closed) return Promise.resolve(new CoordinatorError('CLOSED', 'the publisher is closed'));
    let bytes: number;
    try {
      encodeEvent(event);
      bytes = eventBytes(event);
    } catch (error) {
      return Promise.resolve(CoordinatorError.from(error));
    }
    return new Promise((resolve) => {
      this.#pending.push({ number: this.#nextNumber, event, bytes, deadlineMs: null, attempted: false, resolve });
      this.#nextNumber += 1n;
      this.#pendingBytes += bytes;
      this.#scheduleFlush();
    });
  }

  /** Ends the stream; events without an answer resolve with `CLOSED`. */
  close(): void {
    this.#closed = true;
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#dropStream();
    while (this.#pending.length > 0) {
      const sent = this.#pending[0]?.deadlineMs !== null;
      this.#settle(new CoordinatorError('CLOSED', 'the publisher was closed', { committed: sent ? 'unknown' : 'no' }));
    }
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#closed || this.#retryTimer !== null || this.#sent >= this.#pending.length || this.#blocked) return;
    this.#stream ??= this.#open();
    const now = Date.now();
    while (this.#sent < this.#pending.length && !this.#blocked) {
      const events = [];
      let bytes = 0;
      const { attempted } = this.#pending[this.#sent] as Pending;
      while (this.#sent < this.#pending.length && bytes < MESSAGE_BYTES_MAX) {
        const pending = this.#pending[this.#sent] as Pending;
        if (pending.attempted !== attempted) break;
        pending.deadlineMs ??= now + this.#timeoutMs;
        events.push({ number: pending.number.toString(), event: encodeEvent(pending.event) });
        bytes += pending.bytes;
        this.#sent += 1;
      }
      const options = attempted === this.#attempted ? {} : { options: this.#wireOptions(attempted) };
      this.#attempted = attempted;
      if (!this.#stream.write({ ...options, events })) this.#blocked = true;
    }
    this.#watch();
  }

  #open(): PublishStreamCall {
    const client = this.#clients[this.#target % this.#clients.length] as ApiClient;
    const stream = client.publishStream();
    let over = false;
    const lost = (error: CoordinatorError): void => {
      if (over || this.#stream !== stream) return;
      over = true;
      this.#retry(error);
    };
    stream.on('data', (message) => {
      if (over || this.#stream !== stream) return;
      const failure = this.#answered(message);
      if (failure !== null) lost(failure);
    });
    stream.on('error', (error) => lost(fromStatus(error)));
    stream.on('end', () => lost(new CoordinatorError('UNAVAILABLE', `${client.address} ended the stream`)));
    stream.on('drain', () => {
      if (this.#stream !== stream) return;
      this.#blocked = false;
      this.#flush();
    });
    this.#attempted = false;
    stream.write({ options: this.#wireOptions(false), events: [] });
    return stream;
  }

  #wireOptions(attempted: boolean): WirePublishOptions {
    const { timeoutMs, onRetry, ...options } = this.#options;
    return encodePublishOptions({ ...options, attempted, timeoutMs: this.#attemptMs() });
  }

  /** Settles what is answered for good; returns the first failure that a retry may cure. */
  #answered(message: WirePublishResults): CoordinatorError | null {
    for (const wire of message.results) {
      const head = this.#pending[0];
      if (head === undefined || wire.number !== head.number.toString()) {
        return new CoordinatorError('INTERNAL', `an answer to event ${wire.number} of the stream came out of turn`);
      }
      const result = decodeResult(wire);
      if (result instanceof CoordinatorError && isRetryable(result)) {
        // Those behind it may have fared otherwise.
        if (message.results.some(({ error }) => error != null && decodeCommitted(error.committed) !== 'no')) this.#markSent();
        return result;
      }
      this.#failures = 0;
      this.#settle(result);
    }
    this.#watch();
    return null;
  }

  #settle(result: Receipt | CoordinatorError): void {
    const head = this.#pending.shift() as Pending;
    this.#pendingBytes -= head.bytes;
    this.#sent = Math.max(0, this.#sent - 1);
    head.resolve(result);
    for (const resolve of this.#room.splice(0)) resolve();
  }

  #markSent(): void {
    for (const pending of this.#pending.slice(0, this.#sent)) pending.attempted = true;
  }

  #retry(reason: CoordinatorError): void {
    if (reason.committed !== 'no') this.#markSent();
    this.#dropStream();
    const now = Date.now();
    // A failure no retry cures (the stream itself was refused) is the head's; the others go on.
    if (!isRetryable(reason) && reason.code !== 'ABORTED' && this.#pending.length > 0) this.#settle(reason);
    while (this.#pending[0] !== undefined && this.#pending[0].deadlineMs !== null && this.#pending[0].deadlineMs <= now) {
      this.#settle(new CoordinatorError(reason.code, reason.message, { committed: 'unknown', cause: reason }));
    }
    if (this.#pending.length === 0) return;
    for (const pending of this.#pending) if (pending.deadlineMs !== null) this.#options.onRetry?.(pending.event, reason);
    this.#target += 1;
    this.#failures += 1;
    const rounds = Math.floor((this.#failures - 1) / this.#clients.length);
    this.#retryTimer = setTimeout(
      () => {
        this.#retryTimer = null;
        this.#flush();
      },
      Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** rounds),
    );
  }

  #attemptMs(): number {
    return this.#clients.length > 1 ? Math.min(ATTEMPT_MS, this.#timeoutMs) : this.#timeoutMs;
  }

  /** A node that takes events and says nothing for an attempt's time, and a little for the way, is treated as lost. */
  #watch(): void {
    if (this.#watchdog !== null) clearTimeout(this.#watchdog);
    this.#watchdog = null;
    if (this.#sent === 0 || this.#stream === null) return;
    this.#watchdog = setTimeout(() => {
      this.#watchdog = null;
      this.#retry(new CoordinatorError('TIMEOUT', `no answer within ${this.#attemptMs()} ms`));
    }, this.#attemptMs() + 500);
  }

  #dropStream(): void {
    if (this.#watchdog !== null) clearTimeout(this.#watchdog);
    this.#watchdog = null;
    const stream = this.#stream;
    this.#stream = null;
    this.#blocked = false;
    this.#sent = 0;
    // Cancelling reports an error to the old stream's listeners, which no longer count.
    stream?.cancel();
  }
}
