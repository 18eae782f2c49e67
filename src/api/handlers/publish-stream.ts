import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { EventInput } from '../../contracts/index.js';
import type { CoordinatorNode } from '../../contracts/node.js';
import { CoordinatorError } from '../../errors/index.js';
import { toStatus } from '../codec-error.js';
import { eventBytes } from '../codec-event.js';
import { decodePublishOptions, encodeResult, type RemotePublishOptions } from '../codec-publish.js';
import { isRetryable } from '../retry.js';
import type { WirePublishResults, WirePublishStreamRequest } from '../wire.js';
import { type CallContext, contextOf, wellFormed } from './context.js';
import { publishDecoded, timeoutOf, tryDecode } from './publish.js';

/** One batch: well under the limit of 8 MiB, so that an estimate by half as much again does no harm. */
const BATCH_BYTES_MAX = 4 * 1024 * 1024;
const BATCH_EVENTS_MAX = 4096;
/** Read ahead of the batch on its way; beyond it the stream's flow control stops the client. */
const QUEUE_BYTES_MAX = 8 * 1024 * 1024;
const QUEUE_EVENTS_MAX = 16_384;

type Call = ServerDuplexStream<WirePublishStreamRequest, WirePublishResults>;

interface Queued {
  readonly number: string;
  readonly event: EventInput | CoordinatorError;
  readonly bytes: number;
  readonly options: RemotePublishOptions;
}

/**
 * One client's publish stream. One batch is on its way at a time: what arrives meanwhile becomes the next, so batches grow
 * with the load, and a batch that fails for a passing reason has nothing behind it that could overtake its retry.
 */
class PublishStream {
  readonly #queue: Queued[] = [];
  #queuedBytes = 0;
  #options: RemotePublishOptions = {};
  #running = false;
  #inputEnded = false;
  #finished = false;

  constructor(
    private readonly node: CoordinatorNode,
    private readonly call: Call,
    private readonly context: CallContext,
    private readonly shutdown: AbortSignal,
  ) {
    call.on('data', (request) => this.#receive(request));
    call.on('end', () => {
      this.#inputEnded = true;
      this.#run();
    });
    context.signal.addEventListener('abort', () => this.#finish());
    if (shutdown.aborted) this.#closing();
    else shutdown.addEventListener('abort', this.#closing);
  }

  /** A batch on its way still gets its answers. */
  readonly #closing = (): void => {
    if (!this.#running) this.#fail(new CoordinatorError('CLOSED', 'the node is shutting down; go on at another one'));
  };

  #receive(request: WirePublishStreamRequest): void {
    if (this.#finished) return;
    try {
      const { options, events } = wellFormed(request);
      if (options !== null && options !== undefined) this.#options = decodePublishOptions(options);
      for (const { number, event: wire } of events) {
        const event = tryDecode(wire);
        const bytes = event instanceof CoordinatorError ? 64 : eventBytes(event);
        this.#queue.push({ number, event, bytes, options: this.#options });
        this.#queuedBytes += bytes;
      }
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (this.#queuedBytes > QUEUE_BYTES_MAX || this.#queue.length > QUEUE_EVENTS_MAX) this.call.pause();
    this.#run();
  }

  #run(): void {
    if (this.#running || this.#finished) return;
    this.#running = true;
    this.#drainQueue()
      .catch((error) => this.#fail(error))
      .finally(() => {
        this.#running = false;
        if (this.#inputEnded && !this.#finished && this.#queue.length === 0) {
          this.#finish();
          this.call.end();
        }
      });
  }

  async #drainQueue(): Promise<void> {
    while (this.#queue.length > 0 && !this.#finished) {
      const batch = this.#takeBatch();
      const options = (batch[0] as Queued).options;
      const results = await publishDecoded(
        this.node,
        batch.map((queued) => queued.event),
        { ...options, ...timeoutOf(options, this.context), session: null, signal: this.context.signal },
      );
      if (this.#finished) return;
      const room = this.call.write({ results: results.map((result, at) => encodeResult((batch[at] as Queued).number, result)) });
      const passing = results.find((result) => result instanceof CoordinatorError && isRetryable(result));
      if (passing !== undefined) {
        this.#fail(passing);
        return;
      }
      if (this.shutdown.aborted) {
        this.#fail(new CoordinatorError('CLOSED', 'the node is shutting down; go on at another one'));
        return;
      }
      if (!room) await this.#drained();
    }
  }

  /** The events at the head that share their options, up to a batch's size. */
  #takeBatch(): Queued[] {
    const options = this.#queue[0]?.options;
    let count = 0;
    let bytes = 0;
    for (const queued of this.#queue) {
      if (queued.options !== options || count === BATCH_EVENTS_MAX) break;
      if (count > 0 && bytes + queued.bytes > BATCH_BYTES_MAX) break;
      bytes += queued.bytes;
      count += 1;
    }
    this.#queuedBytes -= bytes;
    const batch = this.#queue.splice(0, count);
    if (this.call.isPaused() && this.#queuedBytes <= QUEUE_BYTES_MAX / 2 && this.#queue.length <= QUEUE_EVENTS_MAX / 2) this.call.resume();
    return batch;
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.call.off('drain', done);
        this.context.signal.removeEventListener('abort', done);
        resolve();
      };
      this.call.once('drain', done);
      this.context.signal.addEventListener('abort', done, { once: true });
    });
  }

  #finish(): void {
    this.#finished = true;
    this.shutdown.removeEventListener('abort', this.#closing);
  }

  #fail(error: unknown): void {
    if (this.#finished) return;
    this.#finish();
    this.#queue.length = 0;
    this.call.emit('error', toStatus(error));
    // Whatever the client still sends has nobody to read it; flowing it away lets the stream close.
    this.call.resume();
  }
}

/** Streams end with `CLOSED` when `shutdown` aborts. */
export const publishStreamHandler = (node: CoordinatorNode, shutdown: AbortSignal) => (call: Call) => {
  new PublishStream(node, call, contextOf(call).context, shutdown);
};
