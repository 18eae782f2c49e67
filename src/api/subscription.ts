import type { ClientDuplexStream } from '@grpc/grpc-js';
import type { Delivery, Where } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { onAbort } from '../runtime/index.js';
import { decodeDelivery } from './codec-delivery.js';
import { encodeLane } from './codec-names.js';
import { fromStatus } from './codec-error.js';
import { encodeWhere } from './codec-where.js';
import type { WireDelivery, WireSubscribeRequest, WireSubscribeResponse } from './wire.js';

/** Messages read ahead of the consumer; beyond, the stream's flow control holds the node. */
const MESSAGES_AHEAD_MAX = 8;

export interface RemoteSubscribeOptions {
  readonly from?: string;
  readonly where?: Where;
  readonly consumer?: string;
  readonly group?: number;
  readonly lane?: 'ordered' | 'causal';
  readonly signal?: AbortSignal;
}

type Call = ClientDuplexStream<WireSubscribeRequest, WireSubscribeResponse>;

interface Waiter {
  readonly number: bigint;
  resolve(): void;
  reject(error: CoordinatorError): void;
}

/** A subscription over the network. It ends quietly when closed or aborted, and throws what the node or the connection failed with. */
export class RemoteSubscription implements AsyncIterable<Delivery> {
  readonly #call: Call;
  readonly #consumer: boolean;
  readonly #messages: WireDelivery[][] = [];
  readonly #acknowledgers: Waiter[] = [];
  /** Takes the listener off the caller's signal: one signal may see many subscriptions. */
  readonly #forget: () => void;
  #ended = false;
  #failure: CoordinatorError | null = null;
  #wake: (() => void) | null = null;

  constructor(call: Call, options: RemoteSubscribeOptions) {
    this.#call = call;
    this.#consumer = options.consumer !== undefined;
    call.on('data', (message) => this.#receive(message));
    call.on('end', () => this.#end(null));
    call.on('error', (error) => this.#end(fromStatus(error)));
    const { signal } = options;
    const abort = (): void => void this.close();
    this.#forget = onAbort(signal, abort);
    if (signal?.aborted) abort();
    const { where } = options;
    call.write({
      start: {
        ...(options.from === undefined ? {} : { from: options.from }),
        ...(where === undefined ? {} : { where: encodeWhere(where) }),
        ...(options.consumer === undefined ? {} : { consumer: options.consumer }),
        ...(options.group === undefined ? {} : { group: options.group }),
        ...(options.lane === undefined ? {} : { lane: encodeLane(options.lane) }),
      },
    });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Delivery> {
    try {
      for (;;) {
        const message = this.#messages.shift();
        if (message === undefined) {
          if (this.#failure !== null) throw this.#failure;
          if (this.#ended) return;
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          continue;
        }
        if (this.#call.isPaused()) this.#call.resume();
        for (const wire of message) yield decodeDelivery(wire, () => this.#acknowledge(BigInt(wire.number)));
      }
    } finally {
      await this.close();
    }
  }

  async close(): Promise<void> {
    if (this.#ended) return;
    this.#end(null);
    this.#call.cancel();
  }

  #receive(message: WireSubscribeResponse): void {
    const acknowledged = BigInt(message.acknowledged);
    while (this.#acknowledgers[0] !== undefined && this.#acknowledgers[0].number <= acknowledged) this.#acknowledgers.shift()?.resolve();
    if (message.deliveries.length === 0) return;
    this.#messages.push(message.deliveries);
    // An acknowledgement may sit behind deliveries, so reading on is the consumer's to give: it never awaits one without pulling.
    if (this.#messages.length >= MESSAGES_AHEAD_MAX && this.#acknowledgers.length === 0) this.#call.pause();
    this.#signal();
  }

  /** Resolves once the replicated position of the consumer has passed the delivery. */
  #acknowledge(number: bigint): Promise<void> {
    if (!this.#consumer) return Promise.resolve();
    if (this.#ended) return Promise.reject(this.#failure ?? new CoordinatorError('CLOSED', 'the subscription is closed'));
    this.#call.resume();
    this.#call.write({ acknowledge: { number: number.toString() } });
    return new Promise((resolve, reject) => this.#acknowledgers.push({ number, resolve, reject }));
  }

  #end(failure: CoordinatorError | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = failure;
    this.#forget();
    const closed = failure ?? new CoordinatorError('CLOSED', 'the subscription is closed');
    for (const waiter of this.#acknowledgers.splice(0)) waiter.reject(closed);
    this.#signal();
  }

  #signal(): void {
    this.#wake?.();
    this.#wake = null;
  }
}
