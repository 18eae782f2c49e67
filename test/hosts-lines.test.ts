/** Members on hosts of their own, over lines that lose, that are slow, and that end connections over and over. */
import test, { type ExecutionContext } from 'ava';
import type { EventInput } from '../dist/index.js';
import { checkJournals, isBefore, sleep, until, writes } from './helpers/cluster.js';
import { type NodeProcess, type PlainReceipt, Writer } from './helpers/node-process.js';
import { checkHealthy, checkWhole, counterOf, termOf } from './support/hosts/checks.js';
import { type OnHosts, skipped, startOnHosts } from './support/hosts/cluster.js';

test.serial('one packet in ten is lost: publishes go on', async (t) => {
  if (skipped(t)) return;
  const { lab, cluster } = await startOnHosts(t, { secure: true });
  const before = await termOf(cluster);
  const writer = new Writer(t, () => cluster.members);
  await writer.more(50);
  lab.lose(0.1);
  const began = performance.now();
  await writer.more(500);
  t.log(`500 events in ${(performance.now() - began).toFixed(0)} ms; ${writer.retries} attempts lost; ${(await termOf(cluster)) - before} terms`);
  lab.heal();
  await checkWhole(t, cluster, await writer.stop());
});

/** Publishes all, each with a receipt. */
async function publishAll(member: NodeProcess, events: readonly EventInput[]): Promise<PlainReceipt[]> {
  const ended = await member.pipeline(events, { session: null, timeoutMs: 60_000 });
  return ended.map((receipt) => {
    if ('code' in receipt) throw new Error(`a publish failed: ${receipt.code}`);
    return receipt;
  });
}

/** One that was down meanwhile comes back behind a slow line: until it has caught up, the others publish, and it counts on their leader. */
async function feed(t: ExecutionContext, { lab, cluster }: OnHosts, rate: string, publish: (leader: NodeProcess) => Promise<PlainReceipt[]>): Promise<PlainReceipt[]> {
  const [late, other] = (await cluster.followers()) as [NodeProcess, NodeProcess];
  const leader = await cluster.leader();
  await late.kill();
  const missed = await publish(leader);
  const before = await termOf(cluster);
  lab.limit(late.id, rate);
  await late.start();
  await until('it to hear of the leader', async () => (await late.status()).leader !== null);
  const elections = counterOf(await late.status(), 'elections');
  const writer = new Writer(t, () => [leader, other], { lanes: 2, pauseMs: 20 });
  let meanwhile = 0;
  await until('it to catch up', async () => {
    const { appliedIndex, counters } = await late.status();
    if (appliedIndex >= missed.at(-1)!.index) return true;
    t.is(Number(counters['elections']), elections, 'it gave the leader up');
    meanwhile = writer.receipts.length;
    return false;
  });
  t.log(`${meanwhile} events were acknowledged while it was fed`);
  t.true(meanwhile > 0);
  t.is(await termOf(cluster), before);
  lab.limit(late.id, null);
  return [...missed, ...(await writer.stop())];
}

test.serial('a member is fed entries over a slow line', async (t) => {
  if (skipped(t)) return;
  const run = await startOnHosts(t);
  const receipts = await feed(t, run, '16mbit', (leader) => publishAll(leader, writes(8, '/large', 1_000_000)));
  await checkWhole(t, run.cluster, receipts);
});

test.serial('a member is fed a snapshot over a slow line', async (t) => {
  if (skipped(t)) return;
  const run = await startOnHosts(t, { more: { raft: { electionTimeoutMs: [400, 800], snapshotThresholdEntries: 20, compactionThresholdEntries: 5 }, retention: { events: 100 } } });
  const { cluster } = run;
  // The state that a snapshot is of has a place for each id.
  const receipts = await feed(t, run, '8mbit', async (leader) => {
    const published: PlainReceipt[] = [];
    for (let at = 0; at < 10; at++) published.push(...(await publishAll(leader, writes(5000, `/many/${at}`))));
    return published;
  });
  await checkHealthy(cluster);
  const firsts = (await cluster.statuses()).map(({ groups }) => groups[0]?.firstIndex ?? 0n);
  const first = firsts.reduce((highest, index) => (index > highest ? index : highest));
  t.true(first > receipts[0]!.index, 'nothing was let go of: no snapshot was needed');
  const last = receipts.reduce((latest, receipt) => (isBefore(latest, receipt) ? receipt : latest));
  const journals = await Promise.all(cluster.members.map((member) => member.journal(last)));
  const kept = <Placed extends { readonly index: bigint }>(rows: readonly Placed[]): Placed[] => rows.filter(({ index }) => index >= first);
  checkJournals(t, journals.map(kept), kept(receipts));
});

const STORM_MS = 4000;
const BETWEEN_MS = 20;
/** Waits between dials begin with 20 ms and double to a second, each drawn from its upper half; one that had stayed up is dialled at once. */
function dialsMax(ms: number): number {
  let dials = 2;
  for (let [at, step] = [0, 20]; at < ms; step = Math.min(2 * step, 1000)) {
    at += step / 2;
    dials += 1;
  }
  return dials;
}

for (const what of ['connections are reset and dials refused', 'connections are reset over and over'] as const) {
  test.serial(`${what}: dials are bounded, and the members come together again`, async (t) => {
    if (skipped(t)) return;
    const { lab, cluster } = await startOnHosts(t, { secure: true });
    const writer = new Writer(t, () => cluster.members);
    await writer.more(50);
    const dialled = async (): Promise<number> => (await cluster.statuses()).reduce((sum, status) => sum + counterOf(status, 'network.dials'), 0);
    const links = cluster.members.length * (cluster.members.length - 1) * 2;
    const refuses = what === 'connections are reset and dials refused';
    const before = await dialled();
    const began = performance.now();
    if (refuses) for (const id of lab.ids) lab.refuse(id, true);
    while (performance.now() - began < STORM_MS) {
      if (!refuses) for (const id of lab.ids) lab.reset(id);
      await sleep(BETWEEN_MS);
    }
    if (refuses) for (const id of lab.ids) lab.refuse(id, false);
    const dials = (await dialled()) - before;
    const most = links * dialsMax(performance.now() - began);
    t.true(dials > 2 * links, `${dials} dials: there was no storm`);
    t.true(dials <= most, `${dials} dials of ${links} links; at most ${most} were to be`);
    await writer.more(50);
    await checkWhole(t, cluster, await writer.stop());
    t.log(`${dials} dials of ${links} links, at most ${most}`);
  });
}
