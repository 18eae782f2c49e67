/** Membership with real processes: members come, go and take each other's place while events go on. */
import test from 'ava';
import type { Coordinator, MemberStatus } from '../dist/index.js';
import { recoverDirectory } from '../dist/native/index.js';
import { checkJournals, codeOf, Embedded, fileWrite, Plan, until, writes } from './helpers/cluster.js';
import { type NodeProcess, type PlainReceipt, ProcessCluster, type RemoteError, Writer } from './helpers/node-process.js';

const FAST_SNAPSHOTS = { raft: { electionTimeoutMs: [400, 800] as [number, number], snapshotThresholdEntries: 50, compactionThresholdEntries: 10 }, retention: { events: 20 } };

/** As the members of tests have them. */
const SEGMENT_BYTES = 4 * 1024 * 1024;
/** Longer than a member without a leader takes to believe that it was removed. */
const DISBELIEF_MS = 7_000;

const roles = (members: readonly MemberStatus[]) => Object.fromEntries(members.map(({ id, role }) => [id, role]));

/** Asks until nothing stands in the way any more: a learner has to catch up, a change before has to be finished. */
async function persist(ask: () => Promise<unknown>): Promise<void> {
  await until('the change', async () => {
    try {
      await ask();
      return true;
    } catch (error) {
      if (['LEARNER_LAGGING', 'CHANGE_PENDING', 'TIMEOUT'].includes((error as RemoteError).code)) return false;
      // A first attempt that timed out may have been carried out.
      if (['MEMBER_EXISTS', 'MEMBER_IS_VOTER', 'MEMBER_UNKNOWN'].includes((error as RemoteError).code)) return true;
      throw error;
    }
  });
}

test.serial('from three members to five and back to three, with events going on: nothing is lost', async (t) => {
  const cluster = await ProcessCluster.start(t, { groups: 2 }, ['d', 'e']);
  const gone = new Set<string>();
  const writer = new Writer(t, () => cluster.running.filter(({ id }) => !gone.has(id)));
  await writer.more(50);
  const operator = cluster.members[2] as NodeProcess;
  for (const id of ['d', 'e']) {
    await persist(() => operator.members('add', id, cluster.plan.address(id)));
    await cluster.join(t, id);
    await persist(() => operator.members('promote', id));
  }
  await writer.more(50);
  t.deepEqual(roles((await operator.status()).members), { a: 'voter', b: 'voter', c: 'voter', d: 'voter', e: 'voter' });
  for (const id of ['a', 'b']) {
    gone.add(id);
    await persist(() => operator.members('remove', id));
    await writer.more(50);
  }
  const [a, b] = cluster.members as [NodeProcess, NodeProcess];
  for (const removed of [a, b]) {
    await until(`${removed.id} to be told`, async () => (await removed.status()).role === 'removed');
    t.is(await codeOf(removed.publish(fileWrite('/late'))), 'MEMBER_REMOVED');
  }
  await Promise.all([a.stop(), b.stop()]);
  const acknowledged = await writer.stop();
  await cluster.equal();
  const statuses = await cluster.statuses();
  for (const { groups, members } of statuses) {
    t.deepEqual(roles(members), { a: 'removed', b: 'removed', c: 'voter', d: 'voter', e: 'voter' });
    t.deepEqual(groups.map(({ voters }) => voters), [['c', 'd', 'e'], ['c', 'd', 'e']]);
  }
  // Those that joined have had a snapshot in the place of what was before; the journal follows.
  await until('the journals to be whole', async () => {
    const firsts = (await cluster.statuses()).flatMap(({ groups }) => groups.map(({ firstIndex }) => firstIndex));
    return firsts.every((first) => first === firsts[0]);
  });
  checkJournals(t, await Promise.all(cluster.running.map((member) => member.journal())), acknowledged);
});

test.serial('who takes the place of a lost member catches up by a snapshot', async (t) => {
  const cluster = await ProcessCluster.start(t, FAST_SNAPSHOTS, ['d']);
  const [leader, lost] = [await cluster.leader(), (await cluster.followers())[0]] as [NodeProcess, NodeProcess];
  for (let at = 0; at < 300; at++) await leader.publish(fileWrite(`/${at}`, 100));
  await until('a snapshot, and a journal that has let go', async () => {
    const [group] = (await leader.status()).groups;
    return group !== undefined && group.snapshot.taken > 0 && group.firstIndex > 100n;
  });
  await lost.kill();
  await persist(() => leader.members('add', 'd', cluster.plan.address('d')));
  const joined = await cluster.join(t, 'd');
  await persist(() => leader.members('replace', lost.id, 'd'));
  await leader.publish(fileWrite('/after'));
  await cluster.equal();
  const { groups, members } = await joined.status();
  t.true((groups[0]?.snapshot.installed ?? 0) > 0);
  t.is(groups[0]?.events, 301n);
  t.deepEqual(roles(members)[lost.id], 'removed');
  // It comes back, and is told.
  await lost.start();
  await until('the lost one to be told', async () => (await lost.status()).role === 'removed');
  t.is(await codeOf(lost.publish(fileWrite('/late'))), 'MEMBER_REMOVED');
});

test.serial('members with a leader do not believe one that was recovered apart and says that they were removed', async (t) => {
  const cluster = await ProcessCluster.start(t);
  const [a, b, c] = cluster.members as [NodeProcess, NodeProcess, NodeProcess];
  const receipts = (await a.pipeline(writes(20, '/before'))) as PlainReceipt[];
  await a.stop();
  const { dataDir, clusterId } = cluster.plan.config('a');
  await recoverDirectory({ dataDir, clusterId: clusterId as string, nodeId: 'a', seed: 1n, segmentBytes: SEGMENT_BYTES });
  await a.start();
  await until('a to lead a cluster of its own', async () => (await a.status()).leader === 'a');
  // For three seconds it takes their connections and answers what comes there; then it refuses them.
  const seen = async (member: NodeProcess) => (await member.status()).members.find(({ id }) => id === 'a');
  await until('both to be refused', async () => (await Promise.all([b, c].map(seen))).every((member) => member?.refused?.startsWith('MEMBER_REMOVED') === true));
  const refusedAt = performance.now();
  while (performance.now() - refusedAt < DISBELIEF_MS) receipts.push(await b.publish(fileWrite('/on')), await c.publish(fileWrite('/on')));
  for (const member of [b, c]) {
    const { role, health } = await member.status();
    t.not(role, 'removed');
    t.is(health.state, 'degraded');
    t.regex(health.reasons.join('; '), /member a is suspect: it refuses this node with MEMBER_REMOVED/);
    t.is((await seen(member))?.health, 'suspect');
    t.is(await member.failure(), null);
  }
  await a.stop();
  await cluster.equal();
  checkJournals(t, await cluster.journals(), receipts);
});

test.serial('what cannot be done is refused with its code, and changes nothing', async (t) => {
  const cluster = await Embedded.start(t, {}, ['a']);
  const node = cluster.get('a');
  await node.publishBatch(writes(10, '/e'));
  // A learner that nobody has started.
  await node.members.add('slow', '127.0.0.1:1');
  await node.members.add('left', '127.0.0.1:2');
  await node.members.remove('left');
  // Enough entries that a learner without any of them is far behind: each awaited, so that they do not share one.
  for (let at = 0; at < 1100; at++) await node.publish(fileWrite(`/${at}`));
  const table = () => node.members.list().map(({ id, role, address }) => ({ id, role, address }));
  const before = table();
  const refused: [string, () => Promise<unknown>][] = [
    ['LAST_VOTER', () => node.members.remove('a')],
    ['MEMBER_EXISTS', () => node.members.add('a', '127.0.0.1:9')],
    ['MEMBER_EXISTS', () => node.members.add('slow', '127.0.0.1:9')],
    ['MEMBER_ID_USED', () => node.members.add('left', '127.0.0.1:9')],
    ['MEMBER_UNKNOWN', () => node.members.remove('nobody')],
    ['MEMBER_UNKNOWN', () => node.members.promote('left')],
    ['MEMBER_IS_VOTER', () => node.members.promote('a')],
    ['LEARNER_LAGGING', () => node.members.promote('slow')],
    ['LEARNER_LAGGING', () => node.members.replace('a', 'slow')],
    ['MEMBER_NOT_LEARNER', () => node.members.replace('slow', 'slow')],
    ['MEMBER_UNKNOWN', () => node.members.replace('a', 'nobody')],
    ['MEMBER_INVALID', () => node.members.add('no spaces', '127.0.0.1:9')],
    ['MEMBER_INVALID', () => node.members.add('same', cluster.plan.address('a'))],
    ['MEMBER_INVALID', () => node.members.add('same', '127.0.0.1:1')],
    ['MEMBER_INVALID', () => node.members.add('fine', 'nowhere')],
    ['MEMBER_INVALID', () => node.members.add('fine', '127.0.0.1:0')],
    ['MEMBER_INVALID', () => node.members.remove('')],
    ['MEMBER_UNKNOWN', () => node.members.transferLeadership('left')],
    ['MEMBER_NOT_VOTER', () => node.members.transferLeadership('slow')],
    ['GROUP_UNKNOWN', () => node.members.transferLeadership('a', { group: 1 })],
  ];
  for (const [code, ask] of refused) {
    const error = await t.throwsAsync(ask(), { code }, code);
    t.is((error as unknown as { committed: string }).committed, 'no', code);
    t.deepEqual(table(), before, code);
  }
  await node.publish(fileWrite('/still'));

  // Each speaks of whom it is about.
  const sentences: [string, () => Promise<unknown>][] = [
    [`the address ${cluster.plan.address('a')} of member same is that of a, which belongs to the cluster; give an address of its own, or remove a first`, () => node.members.add('same', cluster.plan.address('a'))],
    ['nobody is not a member', () => node.members.replace('a', 'nobody')],
    ['left is not a member', () => node.members.replace('left', 'slow')],
    ['left is not a member', () => node.members.replace('left', 'nobody')],
    ['slow has not caught up with the log', () => node.members.replace('a', 'slow')],
    ['a is a voter already', () => node.members.replace('a', 'a')],
    ['slow is a learner; only a voter can be replaced', () => node.members.replace('slow', 'slow')],
  ];
  for (const [message, ask] of sentences) t.is((await t.throwsAsync(ask()))?.message, message);
  // Neither the id nor the address of a removed member's is lost to others.
  await node.members.add('same', '127.0.0.1:2');
});

test.serial('nobody is removed whose going would leave no majority that answers', async (t) => {
  const cluster = await Embedded.start(t);
  const [dead, other] = (await cluster.followers()).map(({ nodeId }) => nodeId) as [string, string];
  const leader = await cluster.leader();
  await cluster.close(dead);
  const before = leader.members.list().map(({ id, role }) => ({ id, role }));
  for (const going of [other, leader.nodeId]) {
    const error = await t.throwsAsync(cluster.get(other).members.remove(going), { code: 'MAJORITY_UNREACHABLE' });
    t.regex(error?.message ?? '', new RegExp(`${going} has to wait`));
  }
  t.deepEqual(leader.members.list().map(({ id, role }) => ({ id, role })), before);
  await leader.publish(fileWrite('/still'));
  await leader.members.remove(dead);
  await cluster.get(other).publish(fileWrite('/on'));
});

test.serial('leadership goes where it is sent, and elsewhere when its holder closes', async (t) => {
  const cluster = await Embedded.start(t, { groups: 3 });
  for (const to of ['a', 'b', 'c']) {
    await cluster.get('a').members.transferLeadership(to);
    t.true(cluster.get('a').status().groups.every(({ leader }) => leader === to));
  }
  await cluster.get('b').members.transferLeadership('a', { group: 1 });
  t.is(cluster.get('b').status().groups[1]?.leader, 'a');
  const closing: Coordinator = await cluster.leader();
  await cluster.close(closing.nodeId);
  await cluster.leader();
  for (const node of cluster.nodes.values()) await node.publish(fileWrite('/on'), { group: 2 });
});

test.serial('a node that joins starts without a quorum, and waits', async (t) => {
  const plan = await Plan.of(t, {}, ['a'], ['z']);
  const cluster = new Embedded(plan);
  t.teardown(() => cluster.close(...cluster.nodes.keys()));
  await cluster.open('a');
  await cluster.leader();
  const { Coordinator } = await import('../dist/index.js');
  const joining = await Coordinator.start({ ...plan.config('z'), join: true, peers: { a: plan.address('a') } });
  cluster.nodes.set('z', joining);
  t.is(joining.status().leader, null);
  t.is(await codeOf(joining.publish(fileWrite('/x'), { timeoutMs: 300 })), 'TIMEOUT');
  await cluster.get('a').members.add('z', plan.address('z'));
  await until('the learner to follow', () => joining.status().role === 'learner' && joining.status().leader === 'a');
  const receipt = await joining.publish(fileWrite('/y'));
  t.is(receipt.durableMembers, 1);
});
