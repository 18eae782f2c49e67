/** What is packed: events as members send them, of a recorded trace. */
import { randomFillSync } from 'node:crypto';
import { Catalogue, EventIds, SubmissionWriter } from '../../dist/events/index.js';
import { recorded } from '../recorded.js';

const PAYLOAD_BYTES = 256;
const BATCH = 256;

export const SIZES = [
  { name: '256B', bytes: 256 },
  { name: '4KiB', bytes: 4 * 1024 },
  { name: '64KiB', bytes: 64 * 1024 },
  { name: '1MiB', bytes: 1024 * 1024 },
] as const;

/** Submissions, one after another. */
export function submissions(): Buffer {
  const writer = new SubmissionWriter(new Catalogue(), new EventIds({ nowMs: Date.now, fillRandom: (bytes) => void randomFillSync(bytes) }));
  const header = { level: 'linearizable', origin: 'a', group: 0, session: null, firstSequence: 0n, acknowledgedThrough: 0n, hlc: 0n } as const;
  const events = recorded(PAYLOAD_BYTES);
  const batches = Array.from({ length: Math.ceil(events.length / BATCH) }, (_, at) => Buffer.from(writer.packEvents({ ...header, events: events.slice(at * BATCH, (at + 1) * BATCH) }).bytes));
  return Buffer.concat(batches);
}

/** Parts of that size, `count` of them, from all over. */
export function partsOf(content: Buffer, bytes: number, count: number): Buffer[] {
  const step = Math.floor((content.length - bytes) / count);
  return Array.from({ length: count }, (_, at) => Buffer.from(content.subarray(at * step, at * step + bytes)));
}
