import type { Coordinator } from '../../dist/index.js';
import { Samples } from '../samples.js';
import type { OneByOne, OneByOneResult } from './commands.js';
import { EventSource } from './events.js';

/** One publish at a time, each awaited. */
export async function oneByOne(node: Coordinator, { level, warmupMs, durationMs }: OneByOne): Promise<OneByOneResult> {
  const source = new EventSource('plain', 1);
  const samples = new Samples();
  let total = 0;
  const from = performance.now() + warmupMs;
  const until = from + durationMs;
  for (let began = performance.now(); began < until; ) {
    await node.publish(source.one(), { consistency: level });
    const ended = performance.now();
    total += 1;
    if (began >= from) samples.add(ended - began);
    began = ended;
  }
  return { total, latenciesMs: samples.values() };
}
