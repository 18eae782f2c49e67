import type { EventInput, Receipt } from '../contracts/index.js';
import { checkTimeout, CoordinatorError } from '../errors/index.js';
import type { ApiClient } from './client.js';
import type { RemotePublishOptions } from './codec-publish.js';
import { isRetryable } from './retry.js';

/** With another node to turn to, one that stays silent this long is given up. */
const ATTEMPT_MS = 2000;
const BACKOFF_MS = 20;

export interface RoundRobinPublisherOptions extends Omit<RemotePublishOptions, 'timeoutMs'> {
  /** How long one event is tried, under its one id, over all nodes; default 10,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Called for every attempt beyond an event's first. */
  readonly onRetry?: (event: EventInput, reason: CoordinatorError) => void;
}

/** Publishes one event after the other, each through the next node of the list; a failed one goes on at the node after. */
export class RoundRobinPublisher {
  #turn = 0;

  constructor(
    private readonly clients: readonly ApiClient[],
    private readonly options: RoundRobinPublisherOptions = {},
  ) {
    if (clients.length === 0) throw new CoordinatorError('USAGE', 'a publisher needs at least one API address');
    checkTimeout(options.timeoutMs ?? 1);
  }

  /** Never rejects: the event's receipt, or why it has none. The event needs its id. */
  async publish(event: EventInput): Promise<Receipt | CoordinatorError> {
    const { timeoutMs = 10_000, onRetry, ...remote } = this.options;
    const deadline = Date.now() + timeoutMs;
    const start = this.#turn++;
    let sent = false;
    for (let attempt = 0; ; attempt++) {
      const left = deadline - Date.now();
      const client = this.clients[(start + attempt) % this.clients.length] as ApiClient;
      const attemptMs = this.clients.length > 1 ? Math.min(left, ATTEMPT_MS) : left;
      try {
        return await client.publish(event, { ...remote, attempted: sent, timeoutMs: Math.max(1, attemptMs) });
      } catch (thrown) {
        const error = CoordinatorError.from(thrown);
        sent ||= error.committed !== 'no';
        if (!isRetryable(error) || remote.signal?.aborted) return error;
        if (Date.now() + BACKOFF_MS >= deadline) {
          return new CoordinatorError(error.code, error.message, { committed: sent ? 'unknown' : 'no', cause: error });
        }
        onRetry?.(event, error);
      }
      // Once every node has refused, there is nobody to hurry to.
      if ((attempt + 1) % this.clients.length === 0) await new Promise((resolve) => setTimeout(resolve, BACKOFF_MS));
    }
  }
}
