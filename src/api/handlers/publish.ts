import type { EventInput, Receipt } from '../../contracts/index.js';
import type { CoordinatorNode } from '../../contracts/node.js';
import { LIMITS } from '../../contracts/index.js';
import { CoordinatorError } from '../../errors/index.js';
import { decodeEvent } from '../codec-event.js';
import { decodePublishOptions, encodeReceipt, encodeResult, type RemotePublishOptions } from '../codec-publish.js';
import type {
  WireEvent,
  WirePublishBatchRequest,
  WirePublishRequest,
  WirePublishResponse,
  WirePublishResults,
} from '../wire.js';
import { type CallContext, unary } from './context.js';

/** Publishes of the API have no session: they are suppressed by event id, whichever node a retry reaches. */
export const publishHandler = (node: CoordinatorNode) =>
  unary<WirePublishRequest, WirePublishResponse>(async (request, context) => {
    const options = decodePublishOptions(request.options);
    const receipt = await node.publish(decodeEvent(request.event), {
      ...options,
      ...timeoutOf(options, context),
      session: null,
      signal: context.signal,
    });
    return { receipt: encodeReceipt(receipt) };
  });

export const publishBatchHandler = (node: CoordinatorNode) =>
  unary<WirePublishBatchRequest, WirePublishResults>(async (request, context) => {
    if (request.events.length > LIMITS.batchEventsMax) {
      throw new CoordinatorError('BATCH_TOO_LARGE', `a batch has at most ${LIMITS.batchEventsMax} events, this one ${request.events.length}`);
    }
    const options = decodePublishOptions(request.options);
    const results = await publishDecoded(node, request.events.map(tryDecode), {
      ...options,
      ...timeoutOf(options, context),
      session: null,
      signal: context.signal,
    });
    return { results: results.map((result, position) => encodeResult(String(position), result)) };
  });

/** The time that was asked for, or the node's own; the call's deadline shortens either. */
export function timeoutOf({ timeoutMs }: RemotePublishOptions, context: CallContext): { timeoutMs?: number; timeoutMaxMs?: number } {
  const { timeoutMs: left } = context.timeout(timeoutMs ?? 0);
  if (left === undefined) return {};
  return timeoutMs === undefined ? { timeoutMaxMs: left } : { timeoutMs: left };
}

/** The event, or why it is none: its neighbours go on. */
export function tryDecode(wire: WireEvent | null): EventInput | CoordinatorError {
  try {
    return decodeEvent(wire);
  } catch (error) {
    return CoordinatorError.from(error);
  }
}

/** Publishes the events among `decoded` as one batch and puts every outcome at its own place. */
export async function publishDecoded(
  node: CoordinatorNode,
  decoded: readonly (EventInput | CoordinatorError)[],
  options: Parameters<CoordinatorNode['publishEach']>[1],
): Promise<(Receipt | CoordinatorError)[]> {
  const events = decoded.filter((item): item is EventInput => !(item instanceof CoordinatorError));
  const published = events.length === 0 ? [] : await node.publishEach(events, options);
  let next = 0;
  return decoded.map((item) => (item instanceof CoordinatorError ? item : (published[next++] as Receipt | CoordinatorError)));
}
