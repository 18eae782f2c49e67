/** Many ordered groups on one log (rule R9): each with its order, sessions, cursors and leader of its own. */
import { existsSync } from 'node:fs';
import { open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { Coordinator } from '../dist/index.js';
import { codeOf, Embedded, fileWrite, Plan, persist, take, until, writes } from './helpers/cluster.js';

const GROUPS = 4;

/** Writes over a block shortly before the end of a directory's first segment. */
async function damage(dataDir: string): Promise<void> {
  const name = (await readdir(dataDir)).filter((name) => name.endsWith('.seg')).sort()[0] as string;
  const bytes = await readFile(join(dataDir, name));
  const end = bytes.findLastIndex((byte) => byte !== 0);
  const file = await open(join(dataDir, name), 'r+');
  await file.write(Buffer.alloc(64, 0x5a), 0, 64, (Math.floor(end / 4096) - 3) * 4096);
  await file.close();
}

test.serial('a session publishes to several groups at once, and each keeps its own order', async (t) => {
  const cluster = await Embedded.start(t, { groups: GROUPS });
  const [node, other] = (await cluster.followers()) as [Coordinator, Coordinator];
  const session = node.session();
  const all = Array.from({ length: 400 }, (_, at) => session.publish(fileWrite(`/${at % GROUPS}/${at}`), { group: at % GROUPS }));
  const receipts = await Promise.all(all);
  t.true(receipts.every(({ group }, at) => group === at % GROUPS));
  for (let group = 0; group < GROUPS; group++) {
    const deliveries = await take(other, 100, { group });
    t.deepEqual(deliveries.map(({ event }) => event.path), Array.from({ length: 100 }, (_, at) => `/${group}/${at * GROUPS + group}`));
    t.deepEqual(deliveries.map(({ event }) => event.sequence), Array.from({ length: 100 }, (_, at) => BigInt(at + 1)));
    t.true(deliveries.every((delivery) => delivery.group === group && delivery.event.session === session.id));
  }
  await cluster.equal();
  const { groups } = node.status();
  t.deepEqual(groups.map(({ group, events }) => [group, events]), Array.from({ length: GROUPS }, (_, group) => [group, 100n]));
  for (const group of groups) t.deepEqual([group.voters, group.outgoing, group.learners], [['a', 'b', 'c'], [], []]);
});

test.serial('ids, cursors, consumers, barriers and outcomes hold within their group', async (t) => {
  const cluster = await Embedded.start(t, { groups: GROUPS });
  const node = cluster.get('a');
  const event = fileWrite('/same');
  const [one, two] = [await node.publish(event, { group: 1 }), await node.publish(event, { group: 2 })];
  t.deepEqual([one.duplicate, two.duplicate], [false, false]);
  t.true((await node.publish(event, { group: 1, session: null })).duplicate);
  t.is((await node.outcome(event.id, { group: 2 })).receipt?.group, 2);
  t.is((await node.outcome(event.id, { group: 3 })).state, 'absent');
  t.true((await node.readBarrier({ group: 1 })) >= one.index);
  t.is((await node.read(two.cursor)).group, 2);
  t.is((await node.read(event.id, { group: 1 })).cursor, one.cursor);
  t.throws(() => node.subscribe({ group: 2, from: one.cursor }), { code: 'CURSOR_INVALID', message: /of group 1, the subscription of group 2/ });

  await node.publishBatch(writes(3, '/c'), { group: 2 });
  for (const [group, count] of [[1, 1], [2, 4]] as const) {
    for await (const delivery of node.subscribe({ group, from: 'first', consumer: 'indexer' })) {
      t.is(delivery.group, group);
      await delivery.ack();
      if (delivery.event.path === '/same' && count === 1) break;
      if (delivery.event.path === '/c/1') break;
    }
  }
  const [next] = await take(cluster.get('b'), 1, { group: 2, consumer: 'indexer' });
  t.is(next?.event.path, '/c/2');
});

test.serial('an unknown group is refused, and what is allowed is said', async (t) => {
  const cluster = await Embedded.start(t, { groups: GROUPS }, ['a']);
  const node = cluster.get('a');
  for (const group of [GROUPS, -1, 1.5, 2 ** 32]) {
    for (const consistency of ['linearizable', 'causal', 'eventual'] as const) {
      await t.throwsAsync(node.publish(fileWrite('/x'), { group, consistency }), { code: 'GROUP_UNKNOWN', message: /0 to 3 are allowed/ });
    }
    for (const ask of [node.readBarrier({ group }), node.outcome(fileWrite('/x').id, { group }), node.read(fileWrite('/x').id, { group })]) t.is(await codeOf(ask), 'GROUP_UNKNOWN');
    t.throws(() => node.subscribe({ group }), { code: 'GROUP_UNKNOWN' });
  }
  t.true(node.status().groups.every(({ events }) => events === 0n));
});

test.serial('a directory of several groups is not opened with fewer', async (t) => {
  const plan = await Plan.of(t, { groups: 3 }, ['a']);
  await (await Coordinator.start(plan.config('a'))).close();
  const refused = await t.throwsAsync(Coordinator.start({ ...plan.config('a'), groups: 2 }), { code: 'CONFIG_INVALID', message: /holds 3 groups, and the settings say groups: 2/ });
  t.truthy(refused);
  await (await Coordinator.start({ ...plan.config('a'), groups: 4 })).close();
});

test.serial('groups are raised only while the members are those of the founding', async (t) => {
  const cluster = await Embedded.start(t, {}, ['a', 'b'], ['d']);
  await cluster.get('a').publish(fileWrite('/before'));
  await cluster.close('a', 'b');
  const raised = (id: string, groups: number) => ({ ...cluster.plan.config(id), groups });
  for (const id of ['a', 'b']) cluster.nodes.set(id, await Coordinator.start(raised(id, 2)));
  await until('a leader of group 1', () => cluster.get('a').status().groups[1]?.leader != null);
  t.is((await cluster.get('b').publish(fileWrite('/raised'), { group: 1 })).group, 1);
  const leader = await cluster.leader();
  await leader.members.add('d', cluster.plan.address('d'));
  cluster.nodes.set('d', await Coordinator.start({ ...raised('d', 2), join: true, peers: { a: cluster.plan.address('a'), b: cluster.plan.address('b') } }));
  await until('the learner to have all groups', () => cluster.get('d').status().groups.every(({ voters }) => voters.length === 2));
  await cluster.close('a', 'b', 'd');
  // Each would begin group 2 with the members of its own settings.
  for (const id of ['a', 'b']) await t.throwsAsync(Coordinator.start(raised(id, 3)), { code: 'CONFIG_INVALID', message: /holds 2 groups.*set it to 2/ });
  await t.throwsAsync(Coordinator.start({ ...raised('d', 3), peers: { a: cluster.plan.address('a') } }), { code: 'CONFIG_INVALID', message: /holds 2 groups/ });
  for (const id of ['a', 'b']) cluster.nodes.set(id, await Coordinator.start(raised(id, 2)));
  await cluster.leader();
  t.deepEqual((await take(cluster.get('a'), 1, { group: 1 })).map(({ event }) => event.path), ['/raised']);
});

test.serial('groups are raised also where a log may have forgotten something: what is new there waits for the others', async (t) => {
  const cluster = await Embedded.start(t);
  for (const at of [0, 1, 2, 3, 4, 5]) await cluster.get('a').publish(fileWrite(`/kept/${at}`));
  await cluster.equal();
  await cluster.close('a', 'b', 'c');
  // Two of three, and one of them with a damaged block too.
  for (const id of ['b', 'c']) await writeFile(join(cluster.plan.dataDir(id), 'UNSETTLED'), '');
  await damage(cluster.plan.dataDir('c'));
  for (const id of ['a', 'b', 'c']) cluster.nodes.set(id, await Coordinator.start({ ...cluster.plan.config(id), groups: 2 }));
  await until('all members to be settled', () => ['b', 'c'].every((id) => !existsSync(join(cluster.plan.dataDir(id), 'UNSETTLED'))));
  await cluster.get('c').publish(fileWrite('/raised'), { group: 1, timeoutMs: 20_000 });
  for (const id of ['a', 'b', 'c']) {
    t.deepEqual((await take(cluster.get(id), 1, { group: 1 })).map(({ event }) => event.path), ['/raised']);
    t.deepEqual((await take(cluster.get(id), 6)).map(({ event }) => event.path), [0, 1, 2, 3, 4, 5].map((at) => `/kept/${at}`));
  }
});

test.serial('groups are not raised once there were other members, also where a snapshot has taken the place of the change', async (t) => {
  const cluster = await Embedded.start(t, {}, ['a', 'b', 'c'], ['d']);
  await cluster.close('c');
  const leader = await cluster.leader();
  await leader.members.add('d', cluster.plan.address('d'));
  cluster.nodes.set('d', await Coordinator.start({ ...cluster.plan.config('d'), join: true, peers: { a: cluster.plan.address('a'), b: cluster.plan.address('b') } }));
  await persist('the promotion', () => leader.members.promote('d'));
  await until('all to know it', () => ['a', 'b', 'd'].every((id) => cluster.get(id).status().groups[0]?.voters.length === 4));
  for (const id of ['a', 'b', 'd']) {
    for await (const chunk of (await cluster.get(id).saveSnapshot()).chunks) t.true(chunk.length > 0);
  }
  await cluster.close('a', 'b', 'd');
  const peersOf = (id: string) => Object.fromEntries(['a', 'b', 'c', 'd'].filter((other) => other !== id).map((other) => [other, cluster.plan.address(other)]));
  for (const id of ['a', 'b', 'd']) {
    await t.throwsAsync(Coordinator.start({ ...cluster.plan.config(id), peers: peersOf(id), groups: 2 }), { code: 'CONFIG_INVALID', message: /holds 1 group/ });
  }
});

test.serial('a directory that waits to join founds nothing, whatever it is told at its next start', async (t) => {
  const cluster = await Embedded.start(t, {}, ['a'], ['d']);
  const peers = { a: cluster.plan.address('a') };
  const waiting = await Coordinator.start({ ...cluster.plan.config('d'), join: true, peers });
  await waiting.close();
  await cluster.get('a').members.add('d', cluster.plan.address('d'));
  cluster.nodes.set('d', await Coordinator.start({ ...cluster.plan.config('d'), peers }));
  await cluster.get('a').publish(fileWrite('/joined'));
  await cluster.equal();
  await until('it is settled', () => !existsSync(join(cluster.plan.dataDir('d'), 'UNSETTLED')));
  t.deepEqual(cluster.get('d').status().groups.map(({ voters, learners }) => [voters, learners]), [[['a'], ['d']]]);
});

test.serial('groups outlive a restart, and their journals lie in one log', async (t) => {
  const cluster = await Embedded.start(t, { groups: GROUPS }, ['a']);
  for (let group = 0; group < GROUPS; group++) await cluster.get('a').publishBatch(writes(10 * (group + 1), `/${group}`), { group });
  await cluster.close('a');
  const { scanLog } = await import('../dist/native/index.js');
  const scan = await scanLog(cluster.plan.dataDir('a'));
  t.deepEqual(scan.summary.groups.map(({ group, events }) => [group, events]), [[0, 10n], [1, 20n], [2, 30n], [3, 40n]]);
  const entries = await scan.entries(2, 1n, 100);
  t.is(entries.flatMap(({ events }) => events).length, 30);
  await scan.close();
  await cluster.open('a');
  for (let group = 0; group < GROUPS; group++) t.is((await take(cluster.get('a'), 10 * (group + 1), { group })).length, 10 * (group + 1));
});

test.serial('a directory is restored from a snapshot of each group, and from no less', async (t) => {
  const cluster = await Embedded.start(t, { groups: 2 }, ['a'], ['r']);
  const node = cluster.get('a');
  for (const group of [0, 1]) await node.publishBatch(writes(5 * (group + 1), `/${group}`), { group });
  const paths: string[] = [];
  for (const group of [0, 1]) {
    const { chunks } = await node.saveSnapshot({ group });
    paths.push(join(cluster.plan.directory, `${group}.snap`));
    await writeFile(paths.at(-1) as string, chunks);
  }
  const { restoreSnapshots } = await import('../dist/native/index.js');
  const dataDir = cluster.plan.dataDir('r');
  const restore = (...given: string[]) => restoreSnapshots({ paths: given, dataDir, clusterId: 'test', nodeId: 'r', founders: ['r'], freshDirectoryId: Buffer.alloc(16, 7), seed: 1n });
  const [first, second] = paths as [string, string];
  await t.throwsAsync(restore(second), { code: 'SNAPSHOT_INVALID', message: /no snapshot of group 0/ });
  await t.throwsAsync(restore(first, second, second), { code: 'SNAPSHOT_INVALID', message: /two of the snapshots are of group 1/ });
  t.false(existsSync(dataDir));
  t.deepEqual((await restore(second, first)).map(({ group }) => group).sort(), [0, 1]);
  await cluster.close('a');
  await cluster.open('r');
  const restored = cluster.get('r');
  await cluster.leader();
  t.deepEqual(restored.status().groups.map(({ events, voters }) => [events, voters]), [[5n, ['r']], [10n, ['r']]]);
  for (const group of [0, 1]) t.is((await restored.publish(fileWrite('/new'), { group })).group, group);
});

test.serial('a busy group leaves room for the others, and is told its limit', async (t) => {
  const plan = await Plan.of(t, { groups: 2, limits: { pendingBytesMax: 64 * 1024 } });
  const cluster = new Embedded(plan);
  t.teardown(() => cluster.close('a'));
  // Alone it has no leader: whatever is published waits.
  await cluster.open('a');
  const node = cluster.get('a');
  const ends: Promise<string>[] = [];
  const publish = (group: number, bytes: number) => ends.push(codeOf(node.publish(fileWrite('/e', bytes), { group, session: null, timeoutMs: 60_000 })));
  const waiting = () => node.status().counters['pending'];
  publish(0, 40_000);
  publish(0, 10);
  await until('the first one is handed in', () => waiting() === 1);
  // It has its share: the second one waits for room, a publish to the other group does not.
  publish(1, 10);
  await until('the other group goes on', () => waiting() === 2);
  for (let count = 1; count < 5_000; count++) publish(0, 10);
  const refused = await t.throwsAsync(node.publish(fileWrite('/one too many'), { group: 0, session: null }), { code: 'GROUP_QUOTA' } as never);
  t.like(refused, { committed: 'no', details: { group: 0, limit: 5_000 } });
  publish(1, 10);
  await until('the other group still goes on', () => waiting() === 3);
  await cluster.close('a');
  const codes = await Promise.all(ends);
  t.is(codes.length, 5_003);
  t.deepEqual([...new Set(codes)], ['CLOSED']);
});
