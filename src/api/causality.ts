/** What happened before what, asked over the network. */
import type { ClientReadableStream } from '@grpc/grpc-js';
import type { CausalityOptions, CausalKey, Causality, CausalRelation, Delivery, RelatedEvents, RelationOptions } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { onAbort } from '../runtime/index.js';
import { decodeDelivery } from './codec-delivery.js';
import { fromStatus } from './codec-error.js';
import { decodeRelation, encodeRelation } from './codec-names.js';
import { encodeWhere } from './codec-where.js';
import type { WireCausalKey, WireRelatedEventsResponse, WireRelationResponse } from './wire.js';

type Call = ClientReadableStream<WireRelatedEventsResponse>;

export interface RemoteCalls {
  unary<R>(name: 'Relation', request: object, options: RelationOptions): Promise<R>;
  stream(name: 'RelatedEvents', request: object): Call;
}

export class RemoteCausality implements Causality {
  readonly #calls: RemoteCalls;

  constructor(calls: RemoteCalls) {
    this.#calls = calls;
  }

  async relation(one: CausalKey, other: CausalKey, options: RelationOptions = {}): Promise<CausalRelation> {
    const answer = await this.#calls.unary<WireRelationResponse>('Relation', { one: encodeKey(one), other: encodeKey(other) }, options);
    const relation = decodeRelation(answer.relation);
    if (relation === null) throw fromStatus(new Error(`the node answered with relation ${answer.relation}`));
    return relation;
  }

  causesOf(event: CausalKey, options: CausalityOptions = {}): RelatedEvents {
    return this.#related('before', event, options);
  }

  effectsOf(event: CausalKey, options: CausalityOptions = {}): RelatedEvents {
    return this.#related('after', event, options);
  }

  concurrentWith(event: CausalKey, options: CausalityOptions = {}): RelatedEvents {
    return this.#related('concurrent', event, options);
  }

  #related(relation: CausalRelation, event: CausalKey, { where, from, direct, signal }: CausalityOptions): RelatedEvents {
    const request = {
      event: encodeKey(event),
      relation: encodeRelation(relation),
      ...(where === undefined ? {} : { where: encodeWhere(where) }),
      ...(from === undefined ? {} : { from }),
      ...(direct === undefined ? {} : { direct }),
    };
    return new RemoteRelatedEvents(this.#calls.stream('RelatedEvents', request), signal);
  }
}

class RemoteRelatedEvents implements RelatedEvents {
  readonly #call: Call;
  readonly #messages: AsyncIterator<WireRelatedEventsResponse>;
  readonly #first: Promise<WireRelatedEventsResponse | null>;
  #closed = false;

  constructor(call: Call, signal: AbortSignal | undefined) {
    this.#call = call;
    this.#messages = (call as AsyncIterable<WireRelatedEventsResponse>)[Symbol.asyncIterator]();
    const abort = (): void => void this.close();
    call.once('close', onAbort(signal, abort));
    if (signal?.aborted) abort();
    this.#first = this.#next();
    // Whoever reads or asks is told.
    this.#first.catch(() => {});
  }

  async complete(): Promise<boolean> {
    const first = await this.#first;
    if (first === null) throw new CoordinatorError('ABORTED', 'the stream was closed before the node answered', { committed: 'no' });
    return first.complete ?? true;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Delivery> {
    try {
      for (let message = await this.#first; message !== null; message = await this.#next()) {
        for (const wire of message.deliveries) {
          if (this.#closed) return;
          yield decodeDelivery(wire, async () => {});
        }
      }
    } finally {
      await this.close();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#call.cancel();
  }

  /** Null at the end. */
  async #next(): Promise<WireRelatedEventsResponse | null> {
    try {
      const { done, value } = await this.#messages.next();
      return done === true ? null : value;
    } catch (thrown) {
      if (this.#closed) return null;
      throw fromStatus(thrown);
    }
  }
}

const encodeKey = (key: CausalKey): WireCausalKey => (typeof key === 'string' ? { id: key } : { id: key.id, cursor: key.cursor });
