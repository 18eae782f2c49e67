/** What happened before what: answers about events of the causal lane. */
import { once } from 'node:events';
import type { ServerWritableStream } from '@grpc/grpc-js';
import type { CausalKey, CausalityOptions, RelatedEvents } from '../../contracts/index.js';
import type { CoordinatorNode } from '../../contracts/node.js';
import { CoordinatorError } from '../../errors/index.js';
import { deliveryBytes, encodeDelivery } from '../codec-delivery.js';
import { toStatus } from '../codec-error.js';
import { decodeRelation, encodeRelation } from '../codec-names.js';
import { decodeWhere } from '../codec-where.js';
import type { WireCausalKey, WireDelivery, WireRelatedEventsRequest, WireRelatedEventsResponse, WireRelationRequest, WireRelationResponse } from '../wire.js';
import { contextOf, unary, wellFormed } from './context.js';

/** Deliveries that are ready together travel together, up to this many bytes. */
const MESSAGE_BYTES_MAX = 64 * 1024;

type Call = ServerWritableStream<WireRelatedEventsRequest, WireRelatedEventsResponse>;

export const relationHandler = (node: CoordinatorNode) =>
  unary<WireRelationRequest, WireRelationResponse>(async ({ one, other }, { signal }) => ({
    relation: encodeRelation(await node.causality.relation(keyOf(one), keyOf(other), { signal })),
  }));

/** Streams end with `CLOSED` when `shutdown` aborts. */
export const relatedEventsHandler = (node: CoordinatorNode, shutdown: AbortSignal) => (call: Call) => {
  const { context, abort } = contextOf(call);
  shutdown.addEventListener('abort', abort, { once: true });
  send(node, call, context.signal)
    .then(() => {
      if (shutdown.aborted) throw new CoordinatorError('CLOSED', 'the node is shutting down');
      call.end();
    })
    .catch((error) => {
      call.emit('error', toStatus(shutdown.aborted ? new CoordinatorError('CLOSED', 'the node is shutting down; ask another one') : error));
    })
    .finally(() => shutdown.removeEventListener('abort', abort));
};

async function send(node: CoordinatorNode, call: Call, signal: AbortSignal): Promise<void> {
  const events = relatedEvents(node, wellFormed(call.request), signal);
  let batch: WireDelivery[] = [];
  let [bytes, number, scheduled] = [0, 0n, false];
  const flush = (): void => {
    scheduled = false;
    if (batch.length === 0 || signal.aborted) return;
    call.write({ deliveries: batch });
    [batch, bytes] = [[], 0];
  };
  call.write({ deliveries: [], complete: await events.complete() });
  for await (const delivery of events) {
    number += 1n;
    bytes += deliveryBytes(delivery);
    batch.push(encodeDelivery(number, delivery));
    if (bytes >= MESSAGE_BYTES_MAX) flush();
    else if (!scheduled) {
      scheduled = true;
      // The rest of this turn of the loop may bring more.
      setImmediate(flush);
    }
    if (call.writableNeedDrain && !signal.aborted) await Promise.race([once(call, 'drain'), once(signal, 'abort')]);
  }
  flush();
}

function relatedEvents({ causality }: CoordinatorNode, request: WireRelatedEventsRequest, signal: AbortSignal): RelatedEvents {
  const where = decodeWhere(request.where);
  const options: CausalityOptions = {
    ...(where === undefined ? {} : { where }),
    ...(request.from ? { from: request.from } : {}),
    ...(request.direct ? { direct: true } : {}),
    signal,
  };
  const event = keyOf(request.event);
  const relation = decodeRelation(request.relation);
  if (relation === 'before') return causality.causesOf(event, options);
  if (relation === 'after') return causality.effectsOf(event, options);
  if (relation === 'concurrent') return causality.concurrentWith(event, options);
  throw new CoordinatorError('USAGE', 'related events are before, after or concurrent');
}

function keyOf(wire: WireCausalKey | null | undefined): CausalKey {
  const { id = '', cursor = '' } = wire ?? {};
  return cursor === '' ? id : { id, cursor };
}
