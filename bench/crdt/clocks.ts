/** Vector clocks in batches, beside dense JavaScript arrays. */
import { mergeClocks } from '../../dist/native/index.js';
import { median } from '../samples.js';

const CLOCKS = 1_000;
const REPEATS = 200;

function timed(rounds: number, run: () => void): number {
  run();
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const began = process.hrtime.bigint();
    for (let at = 0; at < REPEATS; at++) run();
    times.push(Number(process.hrtime.bigint() - began) / (REPEATS * CLOCKS));
  }
  return median(times);
}

/** Nanoseconds a clock of `entries` counters, merged in batches of 1,000. */
export function mergeTimes(entries: number, rounds: number): { readonly native: number; readonly dense: number } {
  const counter = (at: number): number => (at * 7919) % 1013;
  const rows = { into: new BigUint64Array(CLOCKS * entries), from: new BigUint64Array(CLOCKS * entries) };
  for (let at = 0; at < rows.into.length; at++) {
    rows.into[at] = BigInt(counter(at));
    rows.from[at] = BigInt(counter(at + 1));
  }
  const dense = (shift: number) =>
    Array.from({ length: CLOCKS }, (_, row) => Array.from({ length: entries }, (_, at) => counter(row * entries + at + shift)));
  const [into, from] = [dense(0), dense(1)];
  return {
    native: timed(rounds, () => mergeClocks(rows.into, rows.from)),
    dense: timed(rounds, () => {
      for (let row = 0; row < CLOCKS; row++) {
        const [mine, theirs] = [into[row] as number[], from[row] as number[]];
        for (let at = 0; at < entries; at++) if ((mine[at] as number) < (theirs[at] as number)) mine[at] = theirs[at] as number;
      }
    }),
  };
}
