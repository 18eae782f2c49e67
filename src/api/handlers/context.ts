import type { handleUnaryCall } from '@grpc/grpc-js';
import { LIMITS } from '../../contracts/index.js';
import { CoordinatorError } from '../../errors/index.js';
import { toStatus } from '../codec-error.js';
import { Malformed } from '../schema.js';

/** What a handler knows about its caller: when it loses interest. */
export interface CallContext {
  readonly signal: AbortSignal;
  /** The shorter of what the request asks for (0: nothing) and the call's deadline. */
  timeout(requestedMs: number): { timeoutMs?: number };
}

/** A unary handler: `run`'s result is the answer, what it throws the status. A cancelled call aborts `signal`. */
export function unary<Q, R>(run: (request: Q, context: CallContext) => Promise<R> | R): handleUnaryCall<Q, R> {
  return (call, callback) => {
    const { context } = contextOf(call);
    Promise.resolve()
      .then(() => run(wellFormed(call.request), context))
      .then(
        (answer) => callback(null, answer),
        (error) => callback(toStatus(error)),
      );
  };
}

/** What the context needs of a call, whatever its messages are. */
interface Cancellable {
  on(event: 'cancelled', listener: () => void): unknown;
  getDeadline(): Date | number;
}

export function contextOf(call: Cancellable): { context: CallContext; abort(): void } {
  const controller = new AbortController();
  call.on('cancelled', () => controller.abort());
  const context: CallContext = {
    signal: controller.signal,
    timeout(requestedMs) {
      const left = remainingMs(call.getDeadline());
      if (left === null) return requestedMs > 0 ? { timeoutMs: requestedMs } : {};
      return { timeoutMs: requestedMs > 0 ? Math.min(requestedMs, left) : left };
    },
  };
  return { context, abort: () => controller.abort() };
}

export function wellFormed<Q>(request: Q): Q {
  if (request instanceof Malformed) throw new CoordinatorError('INVALID_EVENT', `the request cannot be decoded: ${request.reason}`);
  return request;
}

/** Milliseconds until the deadline, at least 1; null without one. */
function remainingMs(deadline: Date | number): number | null {
  const at = deadline instanceof Date ? deadline.getTime() : deadline;
  return Number.isFinite(at) ? Math.min(LIMITS.timeoutMsMax, Math.max(1, Math.ceil(at - Date.now()))) : null;
}
