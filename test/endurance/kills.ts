/** Rounds of SIGKILL to one, two or all of three members at drawn moments, under publishing that never stops. */
import { Plan, sleep } from '../helpers/cluster.js';
import { type NodeProcess, ProcessCluster } from '../helpers/node-process.js';
import { type Context, type Figures, must } from './context.js';
import { Ledger } from './ledger.js';
import { type LaneKind, Load } from './load.js';
import { Random } from './random.js';

export interface KillsSizes {
  readonly rounds: number;
}

const LANES: readonly LaneKind[] = ['session', 'session', 'pipeline', 'alone', 'alone', 'api', 'api', 'stream'];
/** Segments fill and snapshots are due many times a run, so that kills fall on those too; nothing is let go of. */
const SETTINGS = { log: { segmentBytes: 1024 * 1024, spareSegments: 1 }, raft: { electionTimeoutMs: [300, 600] as [number, number], snapshotThresholdEntries: 300, compactionThresholdEntries: 50 } };
const BEFORE_MS_MAX = 900;
const APART_MS_MAX = 60;
const DOWN_MS_MAX = 700;
const OPENING_MS_MAX = 400;
/** Receipts after which a round that settles counts as settled. */
const SETTLED_EVENTS = 20;
const WHOM = ['one', 'one', 'two', 'all'] as const;
const COUNT = { one: 1, two: 2, all: 3 } as const;

export async function kills(context: Context, { rounds }: KillsSizes): Promise<Figures> {
  const random = new Random(context.seed);
  const cluster = await ProcessCluster.open(context, await Plan.serving(context.directory, SETTINGS));
  await cluster.leader();
  const { plan } = cluster;
  const ledger = new Ledger();
  const load = new Load(context, () => cluster.members.filter(({ open }) => open), plan.ids.map((id) => plan.apiAddress(id)), ledger, context.seed + 1, LANES);
  const killed = { one: 0, two: 0, all: 0 };
  let opening = 0;

  for (let round = 1; round <= rounds; round++) {
    const whom = WHOM[random.below(WHOM.length)] as (typeof WHOM)[number];
    const victims = random.some(cluster.members, COUNT[whom]);
    await sleep(random.below(BEFORE_MS_MAX));
    await Promise.all(victims.map((victim) => after(random.below(APART_MS_MAX), () => victim.kill())));
    await sleep(random.below(DOWN_MS_MAX));
    // Some die again while they open: recovery is as exposed as the rest.
    const again = random.chance(0.25) ? random.some(victims, 1) : [];
    await Promise.all(again.map((victim) => dieOpening(victim, random.below(OPENING_MS_MAX))));
    opening += again.length;
    await Promise.all(victims.map((victim) => victim.start()));
    killed[whom] += 1;
    // Three rounds of four settle; the next kill of the others comes into the middle of it.
    if (random.chance(0.75)) await load.more(SETTLED_EVENTS);
    ledger.see(await cluster.statuses());
    context.progress(`round ${round} of ${rounds}: SIGKILL to ${whom} (${victims.map(({ id }) => id).sort().join(', ')}${again.length > 0 ? ', one of them twice' : ''}); ${ledger.size} events acknowledged, ${load.retries} attempts lost`);
  }

  await load.more(SETTLED_EVENTS);
  await load.stop();
  must(load.retries > 0, 'no kill cost an attempt: the run shows nothing');
  await cluster.equal();
  const statuses = await cluster.statuses();
  ledger.see(statuses);
  await ledger.checkJournals(cluster.members);
  await cluster.kill();
  await ledger.checkFiles(plan.ids.map((id) => plan.dataDir(id)));
  return {
    rounds,
    'one, two, all killed': `${killed.one}, ${killed.two}, ${killed.all}`,
    'killed while opening': opening,
    'events acknowledged': ledger.size,
    'attempts lost': load.retries,
    'answered as duplicates': ledger.duplicates,
    'last index': String(statuses[0]?.appliedIndex),
    'last term': String(statuses[0]?.term),
    'apply hash': statuses[0]?.applyHash ?? '',
  };
}

async function after(ms: number, act: () => Promise<void>): Promise<void> {
  await sleep(ms);
  await act();
}

async function dieOpening(victim: NodeProcess, ms: number): Promise<void> {
  const starting = victim.start().catch(() => {});
  await sleep(ms);
  await victim.kill();
  await starting;
}
