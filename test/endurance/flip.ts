/** A byte flipped in every record of a sealed middle segment of one member of three, one at a time (rule L2). */
import { join } from 'node:path';
import { withScans } from '../../dist/cli/verify/open.js';
import { verifyJournals } from '../../dist/cli/verify/verify.js';
import { vexcoord } from '../cli-run.js';
import { sleep, until } from '../helpers/cluster.js';
import { ProcessCluster } from '../helpers/node-process.js';
import { type Context, type Figures, must } from './context.js';
import { copyOf, type Grown, grow, settle } from './grown.js';
import { Random } from './random.js';
import { flipByte, type LogRecord, type Segment, segmentsOf } from './segment.js';

export interface FlipSizes {
  readonly segmentBytes: number;
  /** Flips at most, each in a record of its own; null for every record. */
  readonly records: number | null;
  /** Flips that the command line itself is asked about; every one is checked by what it runs. */
  readonly commands: number;
}

interface Flip {
  readonly record: LogRecord;
  readonly at: number;
  readonly bits: number;
}

const SEGMENTS = 4;
const SHOWN_EVERY = 10;
/** Several election timeouts: whoever would go on would have by then. */
const SETTLING_MS = 3000;

export async function flip(context: Context, sizes: FlipSizes): Promise<Figures> {
  const random = new Random(context.seed);
  const grown = await grow(context, sizes.segmentBytes, SEGMENTS);
  const [victim] = random.some(grown.plan.ids, 1) as [string];
  const segment = middleOf(grown.plan.dataDir(victim));
  const all = segment.batches.flatMap(({ records }) => records);
  const records = sizes.records === null ? all : random.some(all, sizes.records);
  const flips = records.map((record): Flip => ({ record, at: record.offset + random.below(record.length), bits: 1 << random.below(8) }));
  const entries = flips.filter(({ record }) => record.index !== null);
  context.progress(`${victim}'s ${segment.name}: ${all.length} records, ${flips.length} to flip a byte in, ${entries.length} of them entries`);

  const asked = new Set(random.some(flips, sizes.commands));
  for (const [at, one] of flips.entries()) {
    const copy = copyOf(context, grown, 'together');
    flipByte(join(copy.dataDir(victim), segment.name), one.at, one.bits);
    await verifyNames(copy.dataDir(victim), segment, one, asked.has(one));
    await settle(context, copy, grown.ledger, describe(segment, one));
    if ((at + 1) % SHOWN_EVERY === 0) context.progress(`${at + 1} of ${flips.length} flips named by log verify, and settled with the others`);
  }
  const lost = await lostEverywhere(context, grown, random);
  return {
    'records of the segment': all.length,
    'bytes flipped': flips.length,
    'in entries': entries.length,
    'named by log verify': flips.length,
    'settled with the others': flips.length,
    'flipped on all disks, and nobody went on': `entry ${lost}`,
    'acknowledged events': grown.ledger.size,
  };
}

const describe = ({ name }: Segment, { record, at }: Flip): string =>
  `byte ${at} of ${name}, in ${record.index === null ? `a record of kind ${record.kind}` : `entry ${record.index}`}`;

function middleOf(dataDir: string): Segment {
  const sealed = segmentsOf(dataDir).filter((segment) => segment.sealed);
  const segment = sealed[Math.floor(sealed.length / 2)];
  must(segment !== undefined && sealed.length >= 2, `${dataDir} has ${sealed.length} sealed segments`);
  return segment;
}

/** `log verify` ends with the segment, and a place in it that is not behind the damage. */
async function verifyNames(dataDir: string, segment: Segment, one: Flip, byCommand: boolean): Promise<void> {
  const { summary, problem } = await withScans([dataDir], async (scans) => ({
    summary: scans[0]?.summary,
    problem: (await verifyJournals(scans, null)).problems.find(({ kind }) => kind === 'damage'),
  }));
  const batch = segment.batches.findLast(({ offset }) => offset <= one.at);
  const found = summary?.damage ?? null;
  must(found !== null && problem !== undefined, `${describe(segment, one)}: log verify saw nothing`);
  must(found.segment === segment.name && found.position >= BigInt(batch?.offset ?? 0) && found.position <= BigInt(one.at), `${describe(segment, one)}: log verify names ${found.segment} at ${found.position}`);
  must(problem.message.includes(segment.name), `${describe(segment, one)}: log verify says ${problem.message}`);
  if (!byCommand) return;
  const { status, stdout, stderr } = await vexcoord(['log', 'verify', '--data-dir', dataDir]);
  must(status === 1 && stdout.includes(segment.name) && /^VERIFY_FAILED:/m.test(stderr) && stderr.includes(segment.name), `${describe(segment, one)}: vexcoord log verify ended with ${status}: ${stderr}${stdout}`);
}

/**
 * Where nobody has the entry any more, whoever has heard that of all others halts and names it; those who can ask the halted one no more wait,
 * and nobody goes on without the entry. Resolves with its index.
 */
async function lostEverywhere(context: Context, grown: Grown, random: Random): Promise<bigint> {
  const copy = copyOf(context, grown, 'lost');
  const [wanted] = random.some(middleOf(copy.dataDir(copy.ids[0] as string)).batches.flatMap(({ records }) => records.flatMap(({ index }) => (index === null ? [] : [index]))), 1);
  must(wanted !== undefined, 'the segment has no entry');
  for (const id of copy.ids) {
    const found = segmentsOf(copy.dataDir(id)).flatMap(({ file, batches }) => batches.flatMap(({ records }) => records.filter(({ index }) => index === wanted).map((record) => ({ file, record }))));
    for (const { file, record } of found) flipByte(file, record.offset + record.length - 1, 1);
  }
  const cluster = new ProcessCluster(copy);
  context.teardown(() => cluster.kill());
  await Promise.all(cluster.members.map((member) => member.start()));
  const failures = () => Promise.all(cluster.members.map((member) => member.failure()));
  await until('a member to halt', async () => (await failures()).some((failure) => failure !== null));
  await sleep(SETTLING_MS);
  for (const failure of await failures()) {
    must(failure === null || (failure.code === 'LOG_DAMAGED' && new RegExp(`\\b${wanted}\\b`).test(failure.message)), `entry ${wanted} is on no disk, and a member ends with ${failure?.code}: ${failure?.message}`);
  }
  for (const { nodeId, leader, appliedIndex } of await cluster.statuses()) must(leader === null && appliedIndex < wanted, `entry ${wanted} is on no disk, and ${nodeId} goes on with the leader ${leader} to index ${appliedIndex}`);
  await cluster.kill();
  return wanted;
}
