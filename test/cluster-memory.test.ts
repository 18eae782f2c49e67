/** Members of one process that reach each other within it. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import { resolveConfig } from '../dist/config/index.js';
import { Coordinator, type CoordinatorConfig } from '../dist/index.js';
import { checkJournals, codeOf, Embedded, type Host, journalOf, Plan, room, writes } from './helpers/cluster.js';

const MODULE = new URL('../dist/index.js', import.meta.url).href;

function planOf(t: ExecutionContext): Plan {
  const cluster = randomUUID();
  const nameOf = (id: string): string => `memory:${cluster}.${id}`;
  const ids = ['a', 'b', 'c'];
  const hosts = ids.map((id): [string, Host] => {
    const peers = Object.fromEntries(ids.filter((other) => other !== id).map((other) => [other, nameOf(other)]));
    return [id, { address: 'none', within: [], config: { listen: nameOf(id), peers } }];
  });
  return Plan.on(room(t), new Map(hosts));
}

const threads = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Worker' || name.startsWith('TCP') || name.startsWith('Pipe')).length;

test.serial('three members publish, lose one and have it back, without a socket or a thread for them', async (t) => {
  const before = threads();
  const plan = planOf(t);
  const cluster = new Embedded(plan);
  t.teardown(() => cluster.close(...cluster.nodes.keys()));
  await cluster.open('a', 'b', 'c');
  const leader = await cluster.leader();
  t.is(threads(), before);
  const receipts = await leader.publishBatch(writes(100, '/one', 2_000));
  t.is(await codeOf(Coordinator.start({ ...plan.config('a'), dataDir: `${plan.directory}/other` })), 'PORT_IN_USE');

  await cluster.close(leader.nodeId);
  const next = await cluster.leader();
  receipts.push(...(await next.publishBatch(writes(100, '/two', 2_000))));
  await cluster.open(leader.nodeId);
  await cluster.leader();
  await cluster.equal();
  const acknowledged = receipts.map(({ eventId, index, offset }) => ({ eventId, index, offset }));
  checkJournals(t, await Promise.all([...cluster.nodes.values()].map(journalOf)), acknowledged);
  for (const node of cluster.nodes.values()) {
    const { health, members } = node.status();
    t.is(health.state, 'ok', health.reasons.join('; '));
    t.true(members.every((member) => member.health === 'ok'));
  }
});

test('a name is for all members or for none, and nothing is proved within a process', (t) => {
  const refused = (config: Partial<CoordinatorConfig>, why: RegExp): void => {
    t.throws(() => resolveConfig({ nodeId: 'a', dataDir: 'data', ...config }), { code: 'CONFIG_INVALID', message: why });
  };
  refused({ listen: 'memory:a', peers: { b: '127.0.0.1:7410' } }, /^peers .*gives b the address 127\.0\.0\.1:7410 while this node listens at memory:a; allowed: memory:NAME for all members/m);
  refused({ peers: { b: 'memory:b' } }, /^peers .*gives b the address memory:b while this node listens at 127\.0\.0\.1:7400/m);
  refused({ listen: 'memory:a', security: { tls: { ca: 'ca', cert: 'cert', key: 'key' } } }, /^security\.tls .*nobody has to prove anything within one process/m);
  refused({ api: 'memory:a' }, /^api .*unix:PATH, absolute and of at most 107 bytes; or false/m);
  refused({ listen: 'memory:a b' }, /^listen /m);
});

test('a member keeps its process while it is open, and no longer', async (t) => {
  const config = { nodeId: 'a', dataDir: room(t), listen: 'memory:a', api: false, log: { segmentBytes: 4 * 1024 * 1024, spareSegments: 1 } };
  const script = `import { Coordinator } from ${JSON.stringify(MODULE)};
    const node = await Coordinator.start(${JSON.stringify(config)});
    console.log('open');
    process.once('SIGTERM', async () => { await node.close(); console.log('closed'); });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => void child.kill('SIGKILL'));
  const exit = once(child, 'exit');
  await once(child.stdout, 'data');
  const early = await Promise.race([exit, new Promise((resolve) => setTimeout(() => resolve('still open'), 300))]);
  t.is(early, 'still open');
  child.kill('SIGTERM');
  t.deepEqual(await exit, [0, null]);
});
