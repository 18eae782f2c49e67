/** Publishing on the causal lane and following it. Events carry the time of their publish, by the machine's monotonic clock, which all processes share. */
import type { Coordinator } from '../../dist/index.js';
import { Samples } from '../samples.js';
import type { FollowedCausal, PublishCausal, PublishCausalResult } from './commands.js';

const PAYLOAD_BYTES = 100;
const POLL_MS = 2;

export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Publishes at set times; what is late is made up for, and its latency counts from the time it was meant for. */
export async function publishCausal(node: Coordinator, { ratePerSecond, batch, durationMs }: PublishCausal): Promise<PublishCausalResult> {
  const latencies = new Samples();
  const everyMs = (1000 * batch) / ratePerSecond;
  // Nodes do not publish in step with each other.
  const beganMs = monotonicMs() + Math.random() * everyMs;
  const underWay: Promise<void>[] = [];
  let events = 0;
  for (let at = 0; at * everyMs < durationMs; at++) {
    const dueMs = beganMs + at * everyMs;
    while (monotonicMs() < dueMs) await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMs - monotonicMs())));
    const payload = Buffer.alloc(PAYLOAD_BYTES);
    payload.writeDoubleLE(dueMs, 0);
    const batchOf = Array.from({ length: batch }, () => ({ type: 'FilesystemWrite', path: '/bench', payload }));
    underWay.push(node.publishBatch(batchOf, { consistency: 'causal' }).then(() => latencies.add(monotonicMs() - dueMs)));
    events += batch;
  }
  await Promise.all(underWay);
  return { events, latenciesMs: latencies.values() };
}

export class CausalFollower {
  readonly #latencies = new Samples();
  #firstMs = 0;
  #lastMs = 0;

  /** Reads from the first event on. */
  begin(node: Coordinator): void {
    void this.#read(node);
  }

  async #read(node: Coordinator): Promise<void> {
    for await (const { event } of node.subscribe({ lane: 'causal', from: 'first' })) {
      this.#lastMs = monotonicMs();
      if (this.#latencies.size === 0) this.#firstMs = this.#lastMs;
      const { payload } = event;
      this.#latencies.add(this.#lastMs - new DataView(payload.buffer, payload.byteOffset).getFloat64(0, true));
    }
  }

  async followed(events: number): Promise<FollowedCausal> {
    while (this.#latencies.size < events) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    return { events: this.#latencies.size, latenciesMs: this.#latencies.values(), firstMs: this.#firstMs, lastMs: this.#lastMs };
  }
}
