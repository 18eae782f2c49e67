/** A byte flipped in every record of a sealed middle segment of one member of three, one at a time (rule L2). */
import { join } from 'node:path';
import { withScans } from '../../dist/cli/verify/open.js';
import { verifyJournals } from '../../dist/cli/verify/verify.js';
import { vexcoord } from '../cli-run.js';
import { fileWrite, until } from '../helpers/cluster.js';
import { type NodeProcess, ProcessCluster, type RemoteError } from '../helpers/node-process.js';
import { type Context, type Figures, must } from './context.js';
import { copyOf, type Grown, grow, settle, throughWorkers } from './grown.js';
import { Random } from './random.js';
import { flipByte, type LogRecord, type Segment, segmentsOf } from './segment.js';

export interface FlipSizes {
  readonly segmentBytes: number;
  /** Flips at most, each in a record of its own; null for every record. */
  readonly records: number | null;
  /** Flips that the command line itself is asked about; every one is checked by what it runs. */
  readonly commands: number;
  /** Flips with which the three members run together. */
  readonly clusters: number;
}

/**
 * Whether a member gets its damaged entries back from the others. Where it does not, it must end and name the entry; where it does, it must
 * become equal to the others, and every flip is tried with all three.
 */
export const REPAIRS: boolean = false;

interface Flip {
  readonly record: LogRecord;
  readonly at: number;
  readonly bits: number;
}

const SEGMENTS = 4;
const SHOWN_EVERY = 25;

export async function flip(context: Context, sizes: FlipSizes): Promise<Figures> {
  const random = new Random(context.seed);
  const grown = await grow(context, sizes.segmentBytes, SEGMENTS);
  const victim = random.some(grown.plan.ids, 1)[0] as string;
  const sealed = segmentsOf(grown.plan.dataDir(victim)).filter((segment) => segment.sealed);
  const segment = sealed[Math.floor(sealed.length / 2)];
  must(segment !== undefined && sealed.length >= 2, `${victim} has ${sealed.length} sealed segments`);
  const all = segment.batches.flatMap(({ records }) => records);
  const records = sizes.records === null ? all : random.some(all, sizes.records);
  const flips = records.map((record): Flip => ({ record, at: record.offset + random.below(record.length), bits: 1 << random.below(8) }));
  const entries = flips.filter(({ record }) => record.index !== null);
  context.progress(`${victim}'s ${segment.name}: ${all.length} records, ${flips.length} to flip a byte in, ${entries.length} of them entries`);

  let done = 0;
  let refused = 0;
  const asked = new Set(random.some(flips, sizes.commands));
  await throughWorkers(context, grown.plan.config(victim), flips, async (worker, one) => {
    const dataDir = copyOf(context, grown, worker.name, [victim]).dataDir(victim);
    flipByte(join(dataDir, segment.name), one.at, one.bits);
    await verifyNames(dataDir, segment, one, asked.has(one));
    if (!REPAIRS && (await endsAlone(worker.process, () => worker.open(dataDir), segment, one))) refused += 1;
    done += 1;
    if (done % SHOWN_EVERY === 0) context.progress(`${done} of ${flips.length} flips: named by log verify${REPAIRS ? '' : ', and refused'}`);
  });

  const together = REPAIRS ? flips : random.some(entries, sizes.clusters);
  for (const [at, one] of together.entries()) {
    const copy = copyOf(context, grown, 'together');
    flipByte(join(copy.dataDir(victim), segment.name), one.at, one.bits);
    if (REPAIRS) await settle(context, copy, grown.ledger, describe(segment, one));
    else await othersGoOn(context, copy, grown, victim, segment, one);
    if (!REPAIRS || (at + 1) % SHOWN_EVERY === 0) context.progress(`${at + 1} of ${together.length} clusters: ${describe(segment, one)}`);
  }
  return {
    'records of the segment': all.length,
    'bytes flipped': flips.length,
    'in entries': entries.length,
    'named by log verify': flips.length,
    [REPAIRS ? 'repaired from the others' : 'refused with LOG_DAMAGED']: REPAIRS ? flips.length : refused,
    'clusters run': together.length,
    'acknowledged events': grown.ledger.size,
  };
}

const describe = ({ name }: Segment, { record, at }: Flip): string =>
  `byte ${at} of ${name}, in ${record.index === null ? `a record of kind ${record.kind}` : `entry ${record.index}`}`;

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
  must(status === 1 && stdout.includes(segment.name) && stderr.startsWith('VERIFY_FAILED:') && stderr.includes(segment.name), `${describe(segment, one)}: vexcoord log verify ended with ${status}: ${stderr}${stdout}`);
}

/**
 * What a member that does not repair says of the flip: an entry is named, and it does not run. Another record is not needed any more; but
 * where the reader cannot pass over it, the entry behind it is named instead. Resolves with whether the member was refused.
 */
async function endsAlone(member: NodeProcess, open: () => Promise<void>, segment: Segment, one: Flip): Promise<boolean> {
  const { index } = one.record;
  const failure = await failureOf(member, open, index !== null);
  const doing = describe(segment, one);
  if (failure === null) return false;
  must(failure.code === 'LOG_DAMAGED', `${doing}: the member ends with ${failure.code}: ${failure.message}`);
  const named = /\bentry (\d+)\b/.exec(failure.message)?.[1];
  const behind = segment.batches.flatMap(({ records }) => records).find((record) => record.index !== null && record.offset >= one.record.offset)?.index;
  must(named !== undefined && BigInt(named) === behind, `${doing}: the member names another entry than ${behind}: ${failure.message}`);
  return true;
}

/** Why a start is refused, or why the node ends soon after; null when it is open and nothing is wrong with it. */
async function failureOf(member: NodeProcess, open: () => Promise<void>, expected: boolean): Promise<{ readonly code: string; readonly message: string } | null> {
  try {
    await open();
  } catch (error) {
    return error as RemoteError;
  }
  if (expected) await until('the node to end', async () => (await member.failure()) !== null);
  const failure = await member.failure();
  await member.call('close');
  return failure;
}

/** With one member damaged and refused, the two others go on and have everything. */
async function othersGoOn(context: Context, plan: Grown['plan'], grown: Grown, victim: string, segment: Segment, one: Flip): Promise<void> {
  const cluster = new ProcessCluster(plan);
  context.teardown(() => cluster.kill());
  const others = cluster.members.filter(({ id }) => id !== victim);
  const damaged = cluster.members.find(({ id }) => id === victim) as NodeProcess;
  await Promise.all(others.map((member) => member.start()));
  await damaged.spawn();
  const failure = await failureOf(damaged, () => damaged.call('start', damaged.config) as Promise<void>, true);
  must(failure?.code === 'LOG_DAMAGED', `${describe(segment, one)}: beside the others the member ends with ${failure?.code}: ${failure?.message}`);
  await damaged.kill();
  const now = grown.ledger.copy();
  for (const member of others) now.add(await member.publish(fileWrite(`/after/${member.id}`), { session: null, timeoutMs: 60_000 }));
  await cluster.equal();
  await now.checkJournals(others);
  await cluster.stop();
}
