/** Three members that have published for a while and were then killed: what damage is put on, in copies. */
import { cpSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../dist/cli/demo/ports.js';
import { scanLog } from '../../dist/native/index.js';
import type { CoordinatorConfig } from '../../dist/index.js';
import { fileWrite, Plan, startWhenFree, until } from '../helpers/cluster.js';
import { NodeProcess, ProcessCluster } from '../helpers/node-process.js';
import { type Context, must } from './context.js';
import { Ledger } from './ledger.js';
import { type LaneKind, Load } from './load.js';

const LANES: readonly LaneKind[] = ['session', 'pipeline', 'alone', 'api', 'stream'];
const LAST_PAYLOAD_BYTES = 150;
const WORKERS = 2;

export interface Grown {
  /** The members' files as the kill left them; nothing writes there any more. */
  readonly plan: Plan;
  readonly ledger: Ledger;
}

/** Publishes until every member has `segments` segments, then one event that goes to all disks, and kills all three. */
export async function grow(context: Context, segmentBytes: number, segments: number): Promise<Grown> {
  const more = { log: { segmentBytes, spareSegments: 1, reserveBytes: 0 }, raft: { electionTimeoutMs: [300, 600] as [number, number] } };
  const plan = await Plan.serving(join(context.directory, 'grown'), more);
  const cluster = await ProcessCluster.open(context, plan);
  const leader = await cluster.leader();
  const ledger = new Ledger();
  const load = new Load(context, () => cluster.members.filter(({ open }) => open), plan.ids.map((id) => plan.apiAddress(id)), ledger, context.seed + 1, LANES);
  const enough = (id: string): boolean => readdirSync(plan.dataDir(id)).filter((name) => name.endsWith('.seg')).length >= segments;
  await until(`${segments} segments`, () => plan.ids.every(enough), 240_000);
  await load.stop();
  await cluster.equal();
  ledger.add(await leader.publish(fileWrite('/last', LAST_PAYLOAD_BYTES), { session: null, consistency: 'strong', quorumSize: 'all' }));
  await cluster.kill();
  return { plan, ledger };
}

/** The same members on copies of the files of those of `ids`; what an earlier copy of this name held is gone. */
export function copyOf(context: Context, { plan }: Grown, name: string, ids: readonly string[] = plan.ids): Plan {
  const copy = plan.in(join(context.directory, name));
  rmSync(copy.directory, { recursive: true, force: true });
  for (const id of ids) cpSync(plan.dataDir(id), copy.dataDir(id), { recursive: true });
  return copy;
}

/** One entry's place and the running hash after it. */
export interface Step {
  readonly index: bigint;
  readonly applyHash: string | null;
}

export interface Contents {
  readonly steps: readonly Step[];
  readonly tornBytes: bigint;
  readonly damage: { readonly segment: string; readonly position: bigint; readonly reason: string } | null;
}

/** What a stopped member's files hold, also above the commit mark. */
export async function contentsOf(dataDir: string): Promise<Contents> {
  const scan = await scanLog(dataDir);
  try {
    const { tornBytes, damage, groups } = scan.summary;
    const steps: Step[] = [];
    for (let from = groups[0]?.firstIndex ?? 1n; damage === null; ) {
      const entries = await scan.entries(0, from, 1000);
      if (entries.length === 0) break;
      for (const { index, applyHash } of entries) steps.push({ index, applyHash });
      from = (steps.at(-1)?.index ?? 0n) + 1n;
    }
    return { steps, tornBytes, damage };
  } finally {
    await scan.close();
  }
}

/** A process that opens a member alone on one copy of its files after the other. */
export interface Worker {
  /** Where its copies are, below the run's directory. */
  readonly name: string;
  readonly process: NodeProcess;
  /** Opens the member on the files in `dataDir`. */
  open(dataDir: string): Promise<void>;
}

/** Works through `jobs` in processes of their own, `WORKERS` at a time; nobody listens at the other members' addresses. */
export async function throughWorkers<J>(context: Context, config: CoordinatorConfig, jobs: readonly J[], work: (worker: Worker, job: J) => Promise<void>): Promise<void> {
  const ports = await freePorts(WORKERS);
  let next = 0;
  await Promise.all(
    ports.map(async (port, at) => {
      const process = new NodeProcess(config.nodeId, { ...config, listen: `127.0.0.1:${port}`, api: false });
      context.teardown(() => process.kill());
      await process.spawn();
      const open = (dataDir: string): Promise<void> => startWhenFree(() => process.call('start', { ...process.config, dataDir }) as Promise<void>);
      while (next < jobs.length) await work({ name: `alone-${at}`, process, open }, jobs[next++] as J);
      await process.kill();
    }),
  );
}

/** The members of `plan`, one of them damaged, settle, publish, and have lost nothing. */
export async function settle(context: Context, plan: Plan, ledger: Ledger, doing: string): Promise<void> {
  const cluster = await ProcessCluster.open(context, plan);
  const now = ledger.copy();
  for (const member of cluster.members) now.add(await member.publish(fileWrite(`/after/${member.id}`), { session: null, timeoutMs: 60_000 }));
  await cluster.equal();
  const statuses = await cluster.statuses();
  must(new Set(statuses.map(({ applyHash }) => applyHash)).size === 1, `${doing}: the members' hashes differ`);
  await now.checkJournals(cluster.members);
  await cluster.stop();
}
