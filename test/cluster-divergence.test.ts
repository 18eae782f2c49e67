/** Decision 17: a member that applies something else than the others is named by all, keeps out of everything, and is one of them again after a new start. */
import test from 'ava';
import { ApiServer } from '../dist/api/index.js';
import type { Status } from '../dist/index.js';
import { addon, type OpenedNode, type OpenOptions } from '../dist/native/addon.js';
import { vexcoord } from './cli-run.js';
import { codeOf, Embedded, fileWrite, Plan, take, until, writes } from './helpers/cluster.js';

/** Opens a member whose core forgets event ids after three events and whose handshake does not say so: what is a repeat to the others is new to it. */
async function openAstray(cluster: Embedded, id: string): Promise<void> {
  const door = addon() as unknown as { openNode(options: OpenOptions): Promise<OpenedNode> };
  const { openNode } = door;
  door.openNode = (options) => openNode(options.nodeId === id ? { ...options, windowEvents: 3 } : options);
  try {
    await cluster.open(id);
  } finally {
    door.openNode = openNode;
  }
}

const groupOf = (status: Status) => status.groups[0] as Status['groups'][number];

test.serial('a planted difference lowers the consistency, names the first entry, isolates the member, and is gone after its new start', async (t) => {
  const cluster = new Embedded(await Plan.of(t));
  t.teardown(() => cluster.close(...cluster.nodes.keys()));
  await Promise.all([cluster.open('a', 'b'), openAstray(cluster, 'c')]);
  await cluster.leader();
  const [a, c] = [cluster.get('a'), cluster.get('c')];
  const all = () => [...cluster.nodes.values()].map((node) => node.status());
  const [first, ...others] = writes(20, '/before');
  for (const event of [first, ...others]) if (event !== undefined) await a.publish(event, { session: null });
  await cluster.equal();
  await until('pairs that agree', () => all().every((status) => groupOf(status).consistencyPercentage === 100 && groupOf(status).events === 20n));
  t.true(all().every(({ groups, counters, health }) => groups[0]?.divergence === null && counters['divergences'] === 0 && health.state === 'ok'));

  // A reader that has everything and waits for more.
  const waiting = take(c, 200);
  const repeated = await a.publish(first as (typeof others)[0], { session: null });
  t.true(repeated.duplicate);
  const before = groupOf(a.status()).lastIndex;
  const after = writes(30, '/after');
  for (const event of after) await a.publish(event, { session: null });

  await until('c is named by all, and isolated', () => groupOf(c.status()).isolated && all().every((status) => groupOf(status).divergence?.minority.join() === 'c'));
  for (const status of all()) {
    const { divergence, isolated } = groupOf(status);
    t.true(divergence?.exact);
    t.true((divergence?.firstIndex ?? 0n) > 20n && (divergence?.firstIndex ?? 0n) <= before, `${divergence?.firstIndex} is no later than the repeat at ${before}`);
    t.is(isolated, status.nodeId === 'c');
    t.true((status.counters['divergences'] ?? 0) >= 1);
    t.is(status.health.state, status.nodeId === 'c' ? 'failed' : 'degraded');
    t.true(status.health.reasons.some((reason) => /^STATE_DIVERGED: of group 0, c applied something else than a majority, from entry \d+ on$/.test(reason)), status.health.reasons.join());
  }
  await until('the share has fallen', () => groupOf(a.status()).consistencyPercentage < 100);

  // It takes nothing on, reads included, and says why; whoever waited is told.
  t.is(await codeOf(waiting), 'STATE_DIVERGED');
  const refused = await t.throwsAsync(c.publish(fileWrite('/refused')), { code: 'STATE_DIVERGED', message: /majority of group 0/ });
  t.is((refused as unknown as { committed: string }).committed, 'no');
  for (const asked of [c.readBarrier(), c.outcome(first?.id ?? ''), c.read(first?.id ?? ''), take(c, 1), c.saveSnapshot(), c.members.promote('b')]) t.is(await codeOf(asked), 'STATE_DIVERGED');
  t.is(await codeOf(a.publish(fileWrite('/goes on'))), 'none');

  const api = await ApiServer.start(c, { address: '127.0.0.1:0' });
  const shown = await vexcoord(['status', '--api', api.address, '--output', 'json']);
  const { groups } = JSON.parse(shown.stdout) as { groups: { divergence: unknown; isolated: boolean; consistencyPercentage: number }[] };
  t.like(groups[0], { isolated: true, divergence: { firstIndex: groupOf(c.status()).divergence?.firstIndex.toString(), exact: true, minority: ['c'] } });
  t.regex((await vexcoord(['status', '--api', api.address])).stdout, /STATE_DIVERGED.*\n(.*\n)*consistency +[\d.]+ % of/);
  await api.close();

  // From its log it makes what the others have.
  await cluster.close('c');
  await cluster.open('c');
  await a.publish(fileWrite('/again'));
  await until('the alarm is over', () => all().every((status) => groupOf(status).divergence === null && !groupOf(status).isolated && status.health.state === 'ok'));
  await cluster.equal();
  t.is((await take(cluster.get('c'), 52)).length, 52);
});
