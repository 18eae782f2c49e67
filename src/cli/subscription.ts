import { ApiClient, isRetryable, type RemoteSubscribeOptions } from '../api/index.js';
import type { Delivery } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type ApiFlags, describeFailure } from './nodes.js';
import { proofOf } from './tls.js';

const RETRY_MS = 200;

export interface LastingSubscribeOptions extends RemoteSubscribeOptions {
  readonly signal: AbortSignal;
  /** How long no node may answer before the subscription fails. */
  readonly timeoutMs: number;
}

/**
 * Deliveries through whichever node of the list answers. After a loss it goes on from the last delivery's cursor, or, with a named
 * consumer, from where that stands; what was already yielded is acknowledged again and not yielded twice.
 */
export async function* lastingSubscription(flags: ApiFlags, options: LastingSubscribeOptions): AsyncGenerator<Delivery> {
  const { timeoutMs, ...remote } = options;
  const { api: addresses } = flags;
  const proof = proofOf(flags);
  let last: Delivery | null = null;
  let aliveAt = Date.now();
  for (let turn = 0; ; turn++) {
    const address = addresses[turn % addresses.length] as string;
    const client = new ApiClient(address, proof);
    try {
      const from: string | undefined = last === null || remote.consumer !== undefined ? remote.from : last.cursor;
      const { from: _first, ...rest } = remote;
      for await (const delivery of client.subscribe({ ...rest, ...(from === undefined ? {} : { from }) })) {
        aliveAt = Date.now();
        // Cursors of the causal lane are exact.
        if (last !== null && delivery.lane === 'ordered' && !isAfter(delivery, last)) {
          void delivery.ack().catch(() => {});
          continue;
        }
        last = delivery;
        yield delivery;
        aliveAt = Date.now();
      }
      if (options.signal.aborted) return;
    } catch (thrown) {
      if (options.signal.aborted) return;
      const error = CoordinatorError.from(thrown);
      if (!isRetryable(error) || Date.now() - aliveAt > timeoutMs) throw describeFailure(error, address);
    } finally {
      client.close();
    }
    await pause(RETRY_MS, options.signal);
    if (options.signal.aborted) return;
  }
}

const isAfter = (one: Delivery, other: Delivery): boolean => one.index > other.index || (one.index === other.index && one.offset > other.offset);

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}
