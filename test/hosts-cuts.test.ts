/** Members on hosts of their own, whose network drops what they send without a word: no connection ends, as it does when a process dies. */
import test from 'ava';
import { sleep, until } from './helpers/cluster.js';
import { type NodeProcess, Writer } from './helpers/node-process.js';
import { checkWhole, healthOf, leaderAmong, termOf } from './support/hosts/checks.js';
import { skipped, startOnHosts } from './support/hosts/cluster.js';

/** Several times the longest election. */
const LONG_MS = 3000;

test.serial('a leader that is cut off silently: the others elect one and go on, and it comes back as a follower', async (t) => {
  if (skipped(t)) return;
  const { lab, cluster } = await startOnHosts(t, { secure: true });
  const leader = await cluster.leader();
  const others = await cluster.followers();
  const before = await termOf(cluster);
  const writer = new Writer(t, () => cluster.members);
  await writer.more(50);
  lab.cut([leader.id]);
  await leaderAmong(others);
  await writer.more(20);
  await until('it to lead no more', async () => (await leader.status()).role !== 'leader');
  t.is((await leader.status()).leader, null);
  lab.heal();
  await checkWhole(t, cluster, await writer.stop());
  const after = await termOf(cluster);
  t.true(after > before && after <= before + 3n, `term ${before} became ${after}`);
});

test.serial('a line that is down is noticed, though no connection ends: who is behind it is dialled until it is there again', async (t) => {
  if (skipped(t)) return;
  for (const secure of [false, true]) {
    const { lab, cluster } = await startOnHosts(t, { secure });
    const [away, ...others] = [...(await cluster.followers()), await cluster.leader()] as [NodeProcess, NodeProcess, NodeProcess];
    const writer = new Writer(t, () => others);
    await writer.more(20);
    lab.cut([away.id]);
    // Without this the kernels' patience decides: a quarter of an hour.
    for (const member of others) await until(`${member.id} to miss ${away.id}`, async () => healthOf(await member.status(), away.id) === 'unreachable');
    for (const { id } of others) await until(`${away.id} to miss ${id}`, async () => healthOf(await away.status(), id) === 'unreachable');
    lab.heal();
    await checkWhole(t, cluster, await writer.stop());
    await cluster.kill();
  }
});

test.serial('a minority of two of five, each cut off from all: three go on', async (t) => {
  if (skipped(t)) return;
  const { lab, cluster } = await startOnHosts(t, { ids: ['a', 'b', 'c', 'd', 'e'] });
  const leader = await cluster.leader();
  const [follower, ...majority] = await cluster.followers();
  const writer = new Writer(t, () => majority);
  await writer.more(50);
  lab.cut([leader.id]);
  lab.cut([follower!.id]);
  await leaderAmong(majority);
  await writer.more(200);
  const term = await termOf(cluster);
  await sleep(LONG_MS);
  t.is(await termOf(cluster), term, 'who is cut off raised the term');
  lab.heal();
  await writer.more(50);
  await checkWhole(t, cluster, await writer.stop());
});

for (const [what, from, to] of [
  ['does not hear the leader', 'leader', 'follower'],
  ['is not heard by the leader', 'follower', 'leader'],
] as const) {
  test.serial(`a follower that ${what}: the leader stays, terms do not run away`, async (t) => {
    if (skipped(t)) return;
    const { lab, cluster } = await startOnHosts(t);
    const leader = await cluster.leader();
    const [follower, other] = await cluster.followers();
    const ids = { leader: leader.id, follower: follower!.id };
    const before = await termOf(cluster);
    const writer = new Writer(t, () => [leader, other!]);
    await writer.more(50);
    lab.cutOneWay([ids[from]], [ids[to]]);
    await sleep(LONG_MS);
    await writer.more(200);
    t.is((await leader.status()).role, 'leader');
    t.is(await termOf(cluster), before);
    lab.heal();
    await checkWhole(t, cluster, await writer.stop());
    t.is(await termOf(cluster), before, 'it came back with a term of its own');
  });
}

test.serial('a leader that hears nobody, and is heard by all, gives way', async (t) => {
  if (skipped(t)) return;
  const { lab, cluster } = await startOnHosts(t);
  const leader = await cluster.leader();
  const others = await cluster.followers();
  const before = await termOf(cluster);
  const writer = new Writer(t, () => cluster.members);
  await writer.more(50);
  lab.cutOneWay(others.map(({ id }) => id), [leader.id]);
  await leaderAmong(others);
  await writer.more(20);
  await sleep(LONG_MS);
  const after = await termOf(cluster);
  t.true(after > before && after <= before + 3n, `term ${before} became ${after}`);
  lab.heal();
  await checkWhole(t, cluster, await writer.stop());
});
