import type { CoordinatorNode } from '../../contracts/node.js';
import { encodeDelivery } from '../codec-delivery.js';
import type { ApiCounts } from '../connections.js';
import { encodeReceipt } from '../codec-publish.js';
import { encodeStatus } from '../codec-status.js';
import type {
  WireOutcomeRequest,
  WireOutcomeResponse,
  WireReadBarrierRequest,
  WireReadBarrierResponse,
  WireReadRequest,
  WireReadResponse,
  WireStatus,
} from '../wire.js';
import { unary } from './context.js';

export const readHandler = (node: CoordinatorNode) =>
  unary<WireReadRequest, WireReadResponse>(async (request) => ({
    delivery: encodeDelivery(1n, await node.read(request.key, { group: request.group })),
  }));

export const readBarrierHandler = (node: CoordinatorNode) =>
  unary<WireReadBarrierRequest, WireReadBarrierResponse>(async (request, context) => {
    const applied = await node.readBarrier({ group: request.group, ...(request.after ? { after: request.after } : {}), ...context.timeout(request.timeoutMs), signal: context.signal });
    return { appliedIndex: applied.toString() };
  });

export const outcomeHandler = (node: CoordinatorNode) =>
  unary<WireOutcomeRequest, WireOutcomeResponse>(async (request, context) => {
    const outcome = await node.outcome(request.eventId, {
      group: request.group,
      ...context.timeout(request.timeoutMs),
      signal: context.signal,
    });
    return {
      state: `STATE_${outcome.state.toUpperCase()}`,
      receipt: outcome.receipt === undefined ? null : encodeReceipt(outcome.receipt),
    };
  });

/** With what the API counts beside the node's own counters. */
export const statusHandler = (node: CoordinatorNode, counts: Readonly<ApiCounts>) =>
  unary<object, WireStatus>(() => {
    const status = node.status();
    const ofApi = Object.entries(counts).map(([name, value]) => [`api.${name}`, value]);
    return encodeStatus({ ...status, counters: { ...status.counters, ...Object.fromEntries(ofApi) } });
  });
