/** Rules of replication over real processes: two learners of whom one is left out (rule R10). */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { AgreedReplication } from '../dist/index.js';
import { codeOf, fileWrite, until } from './helpers/cluster.js';
import { type NodeProcess, ProcessCluster } from './helpers/node-process.js';

interface CausalRow {
  readonly id: string;
  readonly path: string | null;
  readonly held: boolean;
  readonly payloadBytes: number;
}

const causal = { consistency: 'causal' } as const;
const RULES = { regions: { far: ['e'] }, rules: [{ name: 'x', match: { type: 'FilesystemWrite', path: '/x/**' }, holders: { regions: ['far'] } }] };

const rowsOf = (member: NodeProcess, count: number) => member.call('causal', count) as Promise<CausalRow[]>;
const read = (member: NodeProcess, id: string) => member.call('read', id) as Promise<CausalRow>;
const rules = (member: NodeProcess) => member.call('replication', 'rules') as Promise<AgreedReplication>;

/** Whether the log of a member has some bytes. */
const logHas = (directory: string, bytes: Buffer): boolean =>
  readdirSync(directory).filter((name) => name.endsWith('.seg')).some((name) => readFileSync(join(directory, name)).includes(bytes));

/** How much of an origin a member holds, and has delivered. */
async function vectors(member: NodeProcess, origin: string): Promise<readonly [bigint, bigint]> {
  const found = (await member.status()).lanes.causal.origins.find(({ name }) => name === origin);
  return [found?.held ?? 0n, found?.delivered ?? 0n];
}

async function withLearners(t: Parameters<typeof ProcessCluster.start>[0]): Promise<{ cluster: ProcessCluster; members: Record<string, NodeProcess> }> {
  const cluster = await ProcessCluster.start(t, {}, ['d', 'e']);
  const operator = cluster.members[2] as NodeProcess;
  for (const id of ['d', 'e']) {
    await until(`${id} to be added`, async () => ['none', 'MEMBER_EXISTS'].includes(await codeOf(operator.members('add', id, cluster.plan.address(id)))));
    await cluster.join(t, id);
  }
  const ready = async () => (await cluster.statuses()).every(({ lanes, members }) => lanes.causal.actor !== null && members.length === 5 && members.every(({ health }) => health === 'ok'));
  await until('all to know of each other', ready);
  return { cluster, members: Object.fromEntries(cluster.members.map((member) => [member.id, member])) };
}

test.serial('who is left out knows of an event, delivers its head, fetches it on demand, and holds it once it votes', async (t) => {
  const { cluster, members } = await withLearners(t);
  const [a, b, d, e] = ['a', 'b', 'd', 'e'].map((id) => members[id]) as [NodeProcess, NodeProcess, NodeProcess, NodeProcess];
  const agreed = (await d.call('replication', 'set', RULES)) as AgreedReplication;
  t.true(agreed.version > 0n);
  await until('the rules to be everywhere', async () => (await Promise.all(cluster.members.map(rules))).every(({ version }) => version === agreed.version));
  t.deepEqual(await rules(a), { ...RULES, rules: [{ ...RULES.rules[0], match: { type: ['FilesystemWrite'], path: ['/x/**'] } }], version: agreed.version } as unknown as AgreedReplication);
  const events = ['/y/1', '/x/secret', '/y/2'].map((path) => fileWrite(path, 20_000));
  for (const event of events) await a.publish(event, causal);
  const expected = (held: boolean) => events.map(({ id, path }, at) => ({ id, path, held: held || at !== 1, payloadBytes: held || at !== 1 ? 20_000 : 0 }));
  t.deepEqual(await rowsOf(d, 3), expected(false));
  for (const member of [b, e]) t.deepEqual(await rowsOf(member, 3), expected(true), member.id);
  await until('the voters to hold it', async () => (await vectors(b, 'a'))[0] === 3n);
  // The status is told now and then.
  await until('it to know it', async () => (await vectors(d, 'a'))[1] === 3n);
  t.is((await vectors(d, 'a'))[0], 1n);
  const secret = Buffer.alloc(64, '/x/secret');
  t.deepEqual([d, e].map(({ id }) => logHas(cluster.plan.dataDir(id), secret)), [false, true]);
  // It is the same after a crash.
  await d.kill();
  await d.start();
  t.deepEqual(await rowsOf(d, 3), expected(false));
  await until('it to have the rules again', async () => (await rules(d)).version === agreed.version);
  t.like(await read(d, events[1]?.id ?? ''), { held: true, payloadBytes: 20_000 });
  t.deepEqual(await rowsOf(d, 3), expected(true));
  const again = fileWrite('/x/again', 100);
  await b.publish(again, causal);
  t.like((await rowsOf(d, 4)).find(({ id }) => id === again.id), { held: false });
  await until('it to vote', async () => ['none', 'MEMBER_IS_VOTER'].includes(await codeOf(a.members('promote', 'd'))));
  await until('it to hold everything', async () => (await vectors(d, 'b'))[0] === 1n);
  t.true((await rowsOf(d, 4)).every(({ held }) => held));
});

test.serial('what nobody who holds it can give is said to be so, and bad rules are refused', async (t) => {
  const { members } = await withLearners(t);
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((id) => members[id]) as [NodeProcess, NodeProcess, NodeProcess, NodeProcess];
  const set = (value: unknown) => d.call('replication', 'set', value);
  for (const bad of [
    null,
    { rules: {} },
    { rules: [{ name: 'x' }] },
    { rules: [{ name: 'x', holders: {}, where: 1 }] },
    { rules: [{ name: 'x', match: { type: 'NoSuchType' }, holders: {} }] },
    { rules: [{ name: 'x', match: { path: '/x/[' }, holders: {} }] },
    { rules: [{ name: 'x', match: { priority: 6 }, holders: {} }] },
    { rules: [{ name: 'x', holders: { regions: ['far'] } }] },
    { rules: [{ name: 'x', holders: {} }, { name: 'x', holders: {} }] },
  ]) {
    t.is(await codeOf(set(bad)), 'REPLICATION_INVALID', JSON.stringify(bad));
  }
  t.is((await rules(d)).version, 0n);
  await set({ rules: [{ ...RULES.rules[0], holders: {} }] });
  const event = fileWrite('/x/1', 100);
  await a.publish(event, causal);
  t.like((await rowsOf(d, 1))[0], { held: false });
  await Promise.all([a, b, c].map((member) => member.kill()));
  t.is(await codeOf(read(d, event.id)), 'NOT_HELD');
  await b.start();
  t.like(await read(d, event.id), { held: true, payloadBytes: 100 });
});
