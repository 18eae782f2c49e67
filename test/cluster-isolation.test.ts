/** Rule R14: what a blocked application, a stalled disk or a paused process keeps waiting, and what it must not. */
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { freePorts } from '../dist/cli/demo/ports.js';
import { checkFiles, checkJournals, codeOf, fileWrite, sleep, until, writes } from './helpers/cluster.js';
import { NodeProcess, type PlainReceipt, ProcessCluster, Writer } from './helpers/node-process.js';

/** An election begins only if a leader is really silent, and the faults last longer than that. */
const STEADY = { raft: { electionTimeoutMs: [700, 1400] as [number, number] } };
const BLOCK_MS = 10_000;
const HOLD_MS = 2_000;

const terms = async (cluster: ProcessCluster) => (await cluster.statuses()).map(({ nodeId, term, counters, leader }) => ({ nodeId, term, leader, elections: counters['elections'] }));

async function finish(t: Parameters<typeof checkJournals>[0], cluster: ProcessCluster, writer: Writer): Promise<void> {
  const receipts = await writer.stop();
  await cluster.equal();
  checkJournals(t, await cluster.journals(), receipts);
  await cluster.stop();
  await checkFiles(t, cluster.plan.ids.map((id) => cluster.plan.dataDir(id)), receipts);
}

test.serial("with the leader's event loop blocked for 10 s nobody is elected and others' publishes commit", async (t) => {
  const cluster = await ProcessCluster.start(t, STEADY);
  const leader = await cluster.leader();
  const others = await cluster.followers();
  const before = await terms(cluster);
  const writer = new Writer(t, () => others, { pauseMs: 5 });
  await writer.more(20);
  let blocked = true;
  const block = leader.call('block', BLOCK_MS).then(() => (blocked = false));
  await sleep(500);
  const atFirst = writer.receipts.length;
  for (const deadline = performance.now() + BLOCK_MS - 1500; performance.now() < deadline; ) await writer.more(10);
  t.true(blocked, 'the leader was blocked all the while');
  t.true(writer.receipts.length - atFirst >= 100, `only ${writer.receipts.length - atFirst} events were committed`);
  await block;
  t.deepEqual(await terms(cluster), before);
  t.is(writer.retries, 0);
  await finish(t, cluster, writer);
});

/** Holds a member's next fdatasync, and waits until the hold is felt and over: it applies nothing, then goes on. */
async function hold(member: NodeProcess, writer: Writer): Promise<{ stoodStill: boolean; committed: number }> {
  const from = writer.receipts.length;
  await member.call('holdNextSync', HOLD_MS);
  let last = (await member.status()).appliedIndex;
  let since = performance.now();
  let longest = 0;
  let committed = 0;
  for (const deadline = performance.now() + HOLD_MS + 1000; performance.now() < deadline; ) {
    await sleep(10);
    const { appliedIndex } = await member.status();
    if (appliedIndex === last) {
      if (performance.now() - since > longest) [longest, committed] = [performance.now() - since, writer.receipts.length - from];
      continue;
    }
    [last, since] = [appliedIndex, performance.now()];
  }
  // A sleep of two seconds cannot be shorter, on however slow a machine.
  return { stoodStill: longest > HOLD_MS * 0.75, committed };
}

test.serial('one fdatasync of a follower held for 2 s: no election, commits go on, it catches up', async (t) => {
  const cluster = await ProcessCluster.start(t, STEADY);
  const leader = await cluster.leader();
  const [slow, other] = (await cluster.followers()) as [NodeProcess, NodeProcess];
  const before = await terms(cluster);
  const writer = new Writer(t, () => [leader, other]);
  await writer.more(20);
  const { stoodStill, committed } = await hold(slow, writer);
  t.true(stoodStill, 'the follower felt nothing of it');
  t.true(committed >= 50, `only ${committed} events were committed meanwhile`);
  t.deepEqual(await terms(cluster), before);
  t.is(writer.retries, 0);
  await finish(t, cluster, writer);
});

test.serial('one fdatasync of the leader held for 2 s: it hands leadership over, its own publishes wait, nothing is lost', async (t) => {
  const cluster = await ProcessCluster.start(t, STEADY);
  const leader = await cluster.leader();
  const writer = new Writer(t, () => [leader], { attempt: () => ({ session: 'one' }) });
  await writer.more(20);
  const { stoodStill } = await hold(leader, writer);
  t.true(stoodStill, 'the leader felt nothing of it');
  await writer.more(20);
  t.not((await cluster.leader()).id, leader.id, 'who cannot write leads nobody');
  await finish(t, cluster, writer);
});

for (const who of ['leader', 'follower'] as const) {
  test.serial(`a ${who} that is paused for 3 s and goes on loses nothing and doubles nothing`, async (t) => {
    const cluster = await ProcessCluster.start(t);
    const leader = await cluster.leader();
    const paused = who === 'leader' ? leader : ((await cluster.followers())[0] as NodeProcess);
    const others = cluster.members.filter((member) => member !== paused);
    const term = (await leader.status()).term;
    // One lane goes to the member that is paused as well: its answers come late, and the retries elsewhere.
    const writer = new Writer(t, () => cluster.members);
    await writer.more(50);
    paused.signal('SIGSTOP');
    const begun = performance.now();
    const atPause = writer.receipts.length;
    await until('a leader among the others', async () => {
      const [one, two] = await Promise.all(others.map((member) => member.status()));
      return one?.leader != null && one.leader === two?.leader && (who === 'follower' || one.leader !== paused.id);
    });
    await until('commits without it', () => writer.receipts.length > atPause + 20);
    await sleep(Math.max(0, 3000 - (performance.now() - begun)));
    paused.signal('SIGCONT');
    await writer.more(50);
    if (who === 'follower') t.is((await leader.status()).term, term, 'a follower that was away elects nobody');
    else t.true((await paused.status()).term > term);
    await finish(t, cluster, writer);
  });
}

test.serial('a copy of a directory that runs beside the original is named and kept out; publishes go on', async (t) => {
  const cluster = await ProcessCluster.start(t);
  const { plan } = cluster;
  const [a, b, c] = cluster.members as [NodeProcess, NodeProcess, NodeProcess];
  const writer = new Writer(t, () => [a, c]);
  await writer.more(20);
  await b.stop();
  const copied = join(plan.directory, 'copy-of-b');
  cpSync(plan.dataDir('b'), copied, { recursive: true });
  await b.start();
  const linked = async () => (await a.status()).members.every(({ health }) => health === 'ok') && (await c.status()).members.every(({ health }) => health === 'ok');
  await until('the original to be back', linked);
  const [port] = await freePorts(1);
  const copy = new NodeProcess('b', { ...plan.config('b'), dataDir: copied, listen: `127.0.0.1:${port}` });
  t.teardown(() => copy.kill());
  await copy.start();
  const refused = async (member: NodeProcess, of: string) => (await member.status()).members.find(({ id }) => id === of)?.refused ?? '';
  const named = /^DUPLICATE_NODE_ID: .*was copied and both copies run/;
  await until('both sides to name it', async () => named.test(await refused(a, 'b')) && named.test(await refused(c, 'b')) && named.test(await refused(copy, 'a')));
  await writer.more(50);
  const missed = (await Promise.all([a, c].map((member) => member.status()))).flatMap(({ members }) => members.filter(({ health }) => health !== 'ok'));
  t.deepEqual(missed, [], 'the one that was connected first stays');
  await copy.stop();
  await finish(t, cluster, writer);
});

test.serial('a copy made while the original runs is kept out, though it was started later; the original is worth a vote', async (t) => {
  const cluster = await ProcessCluster.start(t);
  const { plan } = cluster;
  const [a, b, c] = cluster.members as [NodeProcess, NodeProcess, NodeProcess];
  const receipts = (await a.pipeline(writes(20, '/before'))) as PlainReceipt[];
  const copied = join(plan.directory, 'copy-of-c');
  cpSync(plan.dataDir('c'), copied, { recursive: true });
  rmSync(join(copied, 'LOCK'), { force: true });
  const [port] = await freePorts(1);
  const copy = new NodeProcess('c', { ...plan.config('c'), dataDir: copied, listen: `127.0.0.1:${port}` });
  t.teardown(() => copy.kill());
  await copy.start();
  const named = /DUPLICATE_NODE_ID: .*node "c" was copied and both copies run: incarnation 1 at \S+ is connected, incarnation 2 at \S+ is refused/;
  const names = async (member: NodeProcess) => {
    const { health } = await member.status();
    return health.state === 'degraded' && named.test(health.reasons.join('; '));
  };
  await until('everybody who sees it to name it', async () => (await Promise.all([a, b, copy].map(names))).every((seen) => seen));
  const linked = async (member: NodeProcess) => (await member.status()).members.every(({ health }) => health === 'ok');
  await until('the original to be linked', async () => (await Promise.all([a, b, c].map(linked))).every((seen) => seen));
  t.is(await codeOf(copy.publish(fileWrite('/copy'), { timeoutMs: 500 })), 'TIMEOUT');
  // Of the majority that is left, the original is one half.
  await b.kill();
  await cluster.leader();
  receipts.push(await a.publish(fileWrite('/a')), await c.publish(fileWrite('/c')));
  t.is((await copy.status()).leader, null);
  await copy.stop();
  await b.start();
  await cluster.equal();
  await until('health', async () => (await a.status()).health.state === 'ok');
  checkJournals(t, await cluster.journals(), receipts);
  await cluster.stop();
  await checkFiles(t, plan.ids.map((id) => plan.dataDir(id)), receipts);
});
