import type { Coordinator } from '../../dist/index.js';
import { Samples } from '../samples.js';
import type { InFlight, InFlightResult } from './commands.js';
import { EventSource } from './events.js';

/** Keeps `inFlight` publishes under way: each that ends is followed by the next. */
export async function inFlight(node: Coordinator, { inFlight: lanes, batch, shape, warmupMs, durationMs, groups = 1 }: InFlight): Promise<InFlightResult> {
  const source = new EventSource(shape, batch);
  const latencies = new Samples();
  const from = performance.now() + warmupMs;
  const until = from + durationMs;
  let total = 0;
  let events = 0;

  const lane = async (group: number): Promise<void> => {
    for (;;) {
      const began = performance.now();
      if (began >= until) return;
      if (batch === 1) await node.publish(source.one(), { group });
      else await node.publishBatch(source.batch(), { group });
      const ended = performance.now();
      total += batch;
      if (ended >= from && ended < until) {
        events += batch;
        latencies.add(ended - began);
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, at) => lane(at % groups)));
  return { events, total, windowMs: durationMs, latenciesMs: latencies.values() };
}
