/**
 * What one replica holds in memory, in a process that does nothing else: `held.ts FORM NAME ELEMENTS [STATE]`.
 * Elements are written here, a thousand at a time, or come as the state in a file.
 */
import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { HOLDERS } from './holders.js';

const BATCH = 1_000;
/** Garbage of before is neither to be counted nor to make room: several rounds, with turns in which finalizers run. */
const COLLECTIONS = 6;

async function measured(): Promise<{ resident: number; heap: number }> {
  for (let round = 0; round < COLLECTIONS; round++) {
    globalThis.gc?.();
    await setImmediate();
  }
  const { rss, heapTotal, heapUsed, external } = process.memoryUsage();
  // The heap keeps room in which nothing is any more: how much is a matter of what was made before.
  return { resident: rss - (heapTotal - heapUsed), heap: heapUsed + external };
}

const [form, name, elements, state] = process.argv.slice(2);
const kind = HOLDERS.find((kind) => kind.form === form && kind.name === name);
if (kind === undefined) throw new Error(`there is no ${form} ${name}`);
const count = Number(elements);
// Code, tables and instances that the first replica of a process brings are not of the elements.
const warm = kind.make();
warm.write(0, 10);
warm.size();
const holder = kind.make();
const bytes = state === undefined ? null : readFileSync(state);
const before = await measured();
if (bytes !== null) holder.merge?.(bytes);
else {
  for (let at = 0; at < count; at += BATCH) {
    holder.write(at, Math.min(at + BATCH, count));
    globalThis.gc?.();
  }
}
const size = holder.size();
const after = await measured();
// Asked again afterwards, so that it is all there until then.
if (size !== count || holder.size() !== count) throw new Error(`${name} has ${size} of ${count} elements`);
process.stdout.write(`\n${JSON.stringify({ resident: after.resident - before.resident, heap: after.heap - before.heap })}`);
