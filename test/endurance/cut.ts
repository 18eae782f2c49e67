/** The last segment cut at every byte of its last batch, so of its last record too, with zeros after the cut and without (rules L1, L2). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Context, type Figures, must } from './context.js';
import { contentsOf, copyOf, type Grown, grow, settle, type Step, throughWorkers, type Worker } from './grown.js';
import { Random } from './random.js';
import { type Batch, cutFile, type LogRecord, type Segment, segmentsOf } from './segment.js';

export interface CutSizes {
  /** Bytes from one cut to the next: 1 for every byte. */
  readonly step: number;
  /** Cuts after which the three members settle with each other. */
  readonly settles: number;
}

interface Cut {
  /** Length of the file that is left. */
  readonly at: number;
  readonly padded: boolean;
}

interface Last {
  readonly segment: Segment;
  readonly batch: Batch;
  readonly record: LogRecord;
}

const SEGMENT_BYTES = 256 * 1024;
const SEGMENTS = 3;
const SHOWN_EVERY = 100;

export async function cut(context: Context, { step, settles }: CutSizes): Promise<Figures> {
  const random = new Random(context.seed);
  const grown = await grow(context, SEGMENT_BYTES, SEGMENTS);
  // A batch of marks alone would show little: the killed members' last ones hold the last event, on some of them at least.
  const [victim] = random.some(grown.plan.ids.filter((id) => lastOf(grown.plan.dataDir(id)).batch.records.some(({ index }) => index !== null)), 1);
  must(victim !== undefined, 'no last batch has an entry');
  const last = lastOf(grown.plan.dataDir(victim));
  const { segment, batch, record } = last;
  const records = batch.records.map(({ length, kind, index }) => `${index === null ? `kind ${kind}` : `entry ${index}`}, ${length} bytes`).join('; ');
  context.progress(`${victim}'s last batch is at ${batch.offset} of ${segment.name}, and has ${records}`);

  const whole = (await contentsOf(grown.plan.dataDir(victim))).steps;
  const lengths = Array.from({ length: Math.ceil((batch.end - batch.offset + 1) / step) }, (_, at) => batch.offset + at * step);
  const cuts = lengths.flatMap((at) => [true, false].map((padded): Cut => ({ at, padded })));
  let torn = 0;
  let opened = 0;
  await throughWorkers(context, grown.plan.config(victim), cuts, async (worker, one) => {
    if (await opensAlone(context, grown, worker, last, one, whole)) torn += 1;
    opened += 1;
    if (opened % SHOWN_EVERY === 0) context.progress(`${opened} of ${cuts.length} cuts opened`);
  });

  const sample = random.some(cuts, settles);
  for (const [at, one] of sample.entries()) {
    // Each member's turn: the cut is in the leader's log as often as in a follower's.
    const whose = grown.plan.ids[at % grown.plan.ids.length] as string;
    const copy = copyOf(context, grown, 'settling');
    const there = lastOf(copy.dataDir(whose));
    const place = Math.min(there.batch.offset + one.at - batch.offset, there.batch.end);
    cutFile(there.segment.file, place, one.padded);
    await settle(context, copy, grown.ledger, `${whose} cut at ${place} of ${there.segment.name}`);
    context.progress(`${at + 1} of ${sample.length} settled: ${whose} cut after ${place - there.batch.offset} of ${there.batch.end - there.batch.offset} bytes${one.padded ? ', zeros after it' : ''}`);
  }
  return { 'bytes of the last batch': batch.end - batch.offset, 'of its last record': record.length, 'cuts opened': opened, 'of them torn': torn, 'settled with the others': sample.length, 'acknowledged events': grown.ledger.size };
}

function lastOf(dataDir: string): Last {
  const segment = segmentsOf(dataDir).filter(({ batches }) => batches.length > 0).at(-1);
  const batch = segment?.batches.at(-1);
  const record = batch?.records.at(-1);
  must(segment !== undefined && batch !== undefined && record !== undefined, `${dataDir} has no record`);
  return { segment, batch, record };
}

/** Opens a cut copy alone, closes it, and looks at what is left. Resolves with whether the batch was torn. */
async function opensAlone(context: Context, grown: Grown, worker: Worker, last: Last, { at, padded }: Cut, whole: readonly Step[]): Promise<boolean> {
  const { segment, batch } = last;
  const doing = `cut at ${at} of ${segment.name}, byte ${at - batch.offset} of its last batch${padded ? ', zeros after it' : ''}`;
  const member = worker.process;
  const dataDir = copyOf(context, grown, worker.name, [member.id]).dataDir(member.id);
  cutFile(join(dataDir, segment.name), at, padded);
  // A cut that takes zeros only, and puts them back, has taken nothing.
  const unharmed = at >= batch.end || segment.bytes.subarray(at, batch.end).every((byte) => byte === 0);
  await worker.open(dataDir).catch((error: Error) => must(false, `${doing}: it does not open: ${error.message}`));
  const status = await member.status();
  await member.call('close');
  const { steps, damage } = await contentsOf(dataDir);
  must(damage === null, `${doing}: damaged after the open: ${damage?.reason}`);
  const entries = batch.records.flatMap(({ index }) => (index === null ? [] : [index]));
  const first = entries[0];
  const end = steps.at(-1)?.index ?? 0n;
  const complete = end === whole.at(-1)?.index;
  const before = first === undefined ? whole.at(-1)?.index : first - 1n;
  must(complete || end === before, `${doing}: the log ends at ${end}, not at ${before}`);
  for (const [place, { index, applyHash }] of steps.entries()) must(whole[place]?.index === index && whole[place].applyHash === applyHash, `${doing}: entry ${index} is not what it was`);
  if (unharmed && padded) must(complete && status.disk.tornBytes === 0n, `${doing}: the batch is whole, and ${status.disk.tornBytes} bytes of it were taken for torn`);
  const torn = status.disk.tornBytes > 0n;
  must(unharmed || at === batch.offset || torn, `${doing}: the last batch is not whole, and nothing was said of it`);
  // Rule L2: the member does not vote before the others have settled it, however often it is opened.
  must(existsSync(join(dataDir, 'UNSETTLED')) === torn, `${doing}: torn by ${status.disk.tornBytes} bytes, and ${torn ? 'not ' : ''}marked as unsettled`);
  return torn;
}
