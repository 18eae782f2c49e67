import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Delivery, SubscribeOptions } from '../../contracts/index.js';
import type { CoordinatorNode, Subscription } from '../../contracts/node.js';
import { CoordinatorError } from '../../errors/index.js';
import { deliveryBytes, encodeDelivery } from '../codec-delivery.js';
import { toStatus } from '../codec-error.js';
import { decodeLane } from '../codec-names.js';
import { decodeWhere } from '../codec-where.js';
import type { WireDelivery, WireSubscribeRequest, WireSubscribeResponse, WireSubscribeStart } from '../wire.js';
import { contextOf, wellFormed } from './context.js';

/** Deliveries that are ready together travel together, up to this many bytes. */
const MESSAGE_BYTES_MAX = 64 * 1024;
/** Deliveries kept for acknowledgement by one stream; reading stops there until some are acknowledged. */
const UNACKNOWLEDGED_MAX = 4096;
const UNACKNOWLEDGED_BYTES_MAX = 8 * 1024 * 1024;

type Call = ServerDuplexStream<WireSubscribeRequest, WireSubscribeResponse>;

interface Kept {
  readonly number: bigint;
  readonly bytes: number;
  readonly delivery: Delivery;
}

/** One subscriber. The node's iterator is pulled only while the client takes what is written. */
class SubscribeStream {
  #subscription: Subscription | null = null;
  #consumer = false;
  #number = 0n;
  #batch: WireDelivery[] = [];
  #batchBytes = 0;
  #flushScheduled = false;
  #blocked = false;
  #finished = false;
  #wake: (() => void) | null = null;
  readonly #kept: Kept[] = [];
  #keptBytes = 0;
  #acknowledging = false;
  #acknowledgeUpTo = 0n;

  constructor(
    private readonly node: CoordinatorNode,
    private readonly call: Call,
    private readonly signal: AbortSignal,
    private readonly shutdown: AbortSignal,
  ) {
    call.on('data', (request) => this.#receive(request));
    call.on('drain', () => {
      this.#blocked = false;
      this.#wake?.();
    });
    call.on('end', () => {
      if (this.#subscription === null) this.#fail(new CoordinatorError('FILTER_INVALID', 'the stream ended before its first request'));
    });
    signal.addEventListener('abort', () => this.#finish());
    if (shutdown.aborted) this.#closing();
    else shutdown.addEventListener('abort', this.#closing);
  }

  readonly #closing = (): void => this.#fail(new CoordinatorError('CLOSED', 'the node is shutting down; go on at another one'));

  #receive(request: WireSubscribeRequest): void {
    if (this.#finished) return;
    try {
      const { start, acknowledge } = wellFormed(request);
      if (this.#subscription === null) {
        if (start === undefined) throw new CoordinatorError('FILTER_INVALID', 'the first request of a subscription must be a start');
        this.#subscription = this.node.subscribe({ ...decodeStart(start), signal: this.signal });
        this.#consumer = Boolean(start.consumer);
        this.#deliver(this.#subscription).then(
          () => this.#end(),
          (error) => this.#fail(error),
        );
      } else if (acknowledge !== undefined) {
        this.#acknowledge(BigInt(acknowledge.number));
      } else {
        throw new CoordinatorError('FILTER_INVALID', 'a subscription starts once; later requests acknowledge');
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  async #deliver(subscription: Subscription): Promise<void> {
    for await (const delivery of subscription) {
      if (this.#finished) return;
      this.#number += 1n;
      const bytes = deliveryBytes(delivery);
      if (this.#consumer) {
        this.#kept.push({ number: this.#number, bytes, delivery });
        this.#keptBytes += bytes;
      }
      this.#batch.push(encodeDelivery(this.#number, delivery));
      this.#batchBytes += bytes;
      if (this.#batchBytes >= MESSAGE_BYTES_MAX) this.#flush();
      else this.#scheduleFlush();
      while (!this.#finished && (this.#blocked || this.#tooMuchKept())) await this.#woken();
    }
  }

  /** Waits out the rest of this turn of the loop, in which the iterator may have more at hand. */
  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#batch.length === 0 || this.#finished) return;
    const deliveries = this.#batch;
    this.#batch = [];
    this.#batchBytes = 0;
    if (!this.call.write({ deliveries, acknowledged: '0' })) this.#blocked = true;
  }

  #acknowledge(number: bigint): void {
    if (!this.#consumer || number <= this.#acknowledgeUpTo) return;
    this.#acknowledgeUpTo = number;
    if (this.#acknowledging) return;
    this.#acknowledging = true;
    this.#sendAcknowledgements()
      .catch((error) => this.#fail(error))
      .finally(() => {
        this.#acknowledging = false;
      });
  }

  /** An acknowledgement covers all before it, so those that came while one was on its way are one. */
  async #sendAcknowledgements(): Promise<void> {
    for (;;) {
      let last: Kept | null = null;
      while (this.#kept[0] !== undefined && this.#kept[0].number <= this.#acknowledgeUpTo) {
        last = this.#kept.shift() as Kept;
        this.#keptBytes -= last.bytes;
      }
      if (last === null || this.#finished) return;
      await last.delivery.ack();
      if (this.#finished) return;
      this.call.write({ deliveries: [], acknowledged: last.number.toString() });
      this.#wake?.();
    }
  }

  #tooMuchKept(): boolean {
    return this.#kept.length >= UNACKNOWLEDGED_MAX || this.#keptBytes >= UNACKNOWLEDGED_BYTES_MAX;
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = null;
        resolve();
      };
    });
  }

  #end(): void {
    this.#flush();
    if (!this.#finished) this.call.end();
    this.#finish();
  }

  #fail(error: unknown): void {
    if (this.#finished) return;
    this.#flush();
    this.call.emit('error', toStatus(error));
    this.call.resume();
    this.#finish();
  }

  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.shutdown.removeEventListener('abort', this.#closing);
    this.#wake?.();
    this.#kept.length = 0;
    this.#subscription?.close().catch(() => {
      // The stream is over for its caller whatever the node says.
    });
  }
}

/** Streams end with `CLOSED` when `shutdown` aborts. */
export const subscribeHandler = (node: CoordinatorNode, shutdown: AbortSignal) => (call: Call) => {
  new SubscribeStream(node, call, contextOf(call).context.signal, shutdown);
};

function decodeStart(start: WireSubscribeStart): SubscribeOptions {
  const where = decodeWhere(start.where);
  return {
    ...(start.from ? { from: start.from } : {}),
    ...(where === undefined ? {} : { where }),
    ...(start.consumer ? { consumer: start.consumer } : {}),
    ...(start.group ? { group: start.group } : {}),
    ...(start.lane && start.lane !== 'LANE_UNSPECIFIED' ? { lane: laneOf(start.lane) } : {}),
  };
}

/** The critical lane has no stream of its own. */
function laneOf(wire: string): 'ordered' | 'causal' {
  const lane = decodeLane(wire);
  if (lane !== 'critical') return lane;
  throw new CoordinatorError('USAGE', 'there is no subscription to the critical lane; ordered and causal are allowed');
}
