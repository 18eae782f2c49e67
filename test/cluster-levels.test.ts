/** Levels by protocol, by rule and by what the links allow, over real members. */
import test from 'ava';
import { ApiClient, ApiServer, Coordinator, type CoordinatorConfig, type CoordinatorError, type Receipt } from '../dist/index.js';
import { vexcoord } from './cli-run.js';
import { codeOf, Embedded, fileWrite, Plan, take, until } from './helpers/cluster.js';

const CONFIG: Partial<CoordinatorConfig> = {
  protocols: { safe: { kind: 'strong', quorumSize: 'all', consensusTimeoutMs: 600 }, quick: { kind: 'causal' } },
  levels: [
    { name: 'notes', match: { type: 'filesystem', path: '/notes/**' }, level: 'causal' },
    { name: 'audit', match: { path: ['/audit/**', '/log'] }, protocol: 'safe', onQuorumLoss: 'fail' },
    { name: 'any', match: { type: ['FilesystemMkdir', 'graph'] }, weakest: 'eventual', strongest: 'strong', maxStalenessMs: 60_000 },
  ],
};
const says = ({ level, requestedLevel, rule, lane, degraded }: Receipt) => ({ level, requestedLevel, rule, lane, degraded });

test.serial('protocols and rules choose the level, and the receipt says which did', async (t) => {
  const cluster = await Embedded.start(t, CONFIG);
  const a = cluster.get('a');
  const said = async (path: string, options = {}, type = 'FilesystemWrite') => says(await a.publish({ ...fileWrite(path), type }, options));
  const strong = { level: 'strong', requestedLevel: 'strong', lane: 'ordered', degraded: false };
  const causal = { level: 'causal', requestedLevel: 'causal', lane: 'causal', degraded: false };
  t.deepEqual(await said('/x', { protocol: 'safe' }), { ...strong, rule: 'protocols.safe' });
  t.deepEqual(await said('/x', { protocol: 'quick' }), { ...causal, rule: 'protocols.quick' });
  t.deepEqual(await said('/notes/1'), { ...causal, rule: 'levels.notes' });
  t.deepEqual(await said('/notes/1', {}, 'GraphQuery'), { level: 'eventual', requestedLevel: 'eventual', lane: 'causal', degraded: false, rule: 'levels.any' });
  t.deepEqual(await said('/audit/1'), { ...strong, rule: 'levels.audit' });
  t.deepEqual(await said('/audit/1', { consistency: 'causal' }), { ...causal, rule: null });
  t.deepEqual(await said('/x'), { level: 'linearizable', requestedLevel: 'linearizable', lane: 'ordered', degraded: false, rule: null });
  // What its neighbour asks for or lacks does nothing to an event.
  const both = await a.publishEach([fileWrite('/audit/2'), { type: 'FilesystemWrite', path: 'no' }, fileWrite('/notes/2'), fileWrite('/log')]);
  t.deepEqual(both.map((ending) => ('level' in ending ? ending.rule : ending.code)), ['levels.audit', 'PATH_INVALID', 'levels.notes', 'levels.audit']);
  t.is(await codeOf(a.publish(fileWrite('/x'), { protocol: 'saver' })), 'UNKNOWN_PROTOCOL');
  t.is(await codeOf(a.publish(fileWrite('/x'), { protocol: 'safe', consistency: 'causal' })), 'USAGE');
  t.is(await codeOf(a.publishBatch([fileWrite('/audit/3'), { type: 'Nothing' }])), 'UNKNOWN_EVENT_TYPE');
});

test.serial('a protocol has its own quorum and its own time', async (t) => {
  const cluster = await Embedded.start(t, CONFIG);
  const leader = await cluster.leader();
  const [other] = (await cluster.followers()).map(({ nodeId }) => nodeId);
  await cluster.close(other as string);
  t.is((await leader.publish(fileWrite('/x'), { consistency: 'strong' })).level, 'strong');
  const sinceMs = performance.now();
  // All voters are asked for, and one is gone.
  const error = (await leader.publish(fileWrite('/x'), { protocol: 'safe' }).catch((thrown: unknown) => thrown)) as CoordinatorError;
  t.is(error.code, 'TIMEOUT');
  t.true(performance.now() - sinceMs < 5_000);
  t.is((await leader.publish(fileWrite('/x'), { protocol: 'safe', quorumSize: 1 })).rule, 'protocols.safe');
});

test.serial('adaptive publishes go by the links', async (t) => {
  const cluster = await Embedded.start(t, CONFIG);
  const a = cluster.get('a');
  const adaptive = async (maxStalenessMs: number) => says(await a.publish({ type: 'FilesystemMkdir', path: '/d' }, { consistency: 'adaptive', maxStalenessMs })).level;
  await until('links', () => a.status().members.every(({ health }) => health === 'ok'));
  t.is(await adaptive(10_000), 'eventual');
  t.is(await adaptive(200), 'sequential');
  t.is(await adaptive(10), 'strong');
  t.is((await a.publish(fileWrite('/x'), { consistency: 'adaptive' })).rule, 'default');
  await cluster.close('b');
  t.is(await adaptive(10_000), 'eventual');
  await cluster.close('c');
  await until('no links', () => a.status().members.every(({ id, health }) => id === 'a' || health === 'unreachable'));
  // A majority is not linked: it could not show the event; and there is no quorum either.
  t.is(await codeOf(a.publish({ type: 'FilesystemMkdir', path: '/d' }, { consistency: 'adaptive', maxStalenessMs: 10_000, timeoutMs: 300 })), 'TIMEOUT');
  t.is(says(await a.publish(fileWrite('/notes/x'), { consistency: 'adaptive' })).level, 'causal');
});

test.serial('all of it through the API', async (t) => {
  const cluster = await Embedded.start(t, CONFIG);
  const server = await ApiServer.start(cluster.get('a'), { address: '127.0.0.1:0' });
  const client = new ApiClient(server.address);
  t.teardown(async () => {
    client.close();
    await server.close();
  });
  t.like(says(await client.publish(fileWrite('/x'), { protocol: 'safe' })), { level: 'strong', rule: 'protocols.safe' });
  t.like(says(await client.publish(fileWrite('/notes/1'))), { level: 'causal', rule: 'levels.notes' });
  t.like(says(await client.publish({ type: 'FilesystemMkdir', path: '/d' }, { consistency: 'adaptive', maxStalenessMs: 0 })), { level: 'strong', rule: 'levels.any' });
  t.is(await codeOf(client.publish(fileWrite('/x'), { protocol: 'none' })), 'UNKNOWN_PROTOCOL');
  const line = JSON.stringify({ type: 'FilesystemWrite', path: '/x' });
  const [told] = (await vexcoord(['publish', '--api', server.address, '--protocol', 'safe'], line)).lines;
  t.like(JSON.parse(told as string), { level: 'strong', rule: 'protocols.safe' });
  const wrong = await vexcoord(['publish', '--api', server.address, '--protocol', 'sfae'], line);
  t.like(JSON.parse(wrong.lines[0] as string).error, { code: 'UNKNOWN_PROTOCOL', committed: 'no' });
  t.is(wrong.status, 1);
  t.is(await codeOf(client.publish(fileWrite('/x'), { protocol: 'safe', consistency: 'causal' })), 'USAGE');
  t.is((await take(cluster.get('b'), 1, { lane: 'causal' }))[0]?.event.path, '/notes/1');
  await cluster.close('b');
  await cluster.close('c');
  await until('no leader', () => cluster.get('a').status().leader === null);
  // The protocol's time, since the call names none.
  const sinceMs = performance.now();
  t.is(await codeOf(client.publish(fileWrite('/x'), { protocol: 'safe' })), 'TIMEOUT');
  t.true(performance.now() - sinceMs < 5_000);
});

test.serial('rules that match nothing that there is are refused at the start', async (t) => {
  const plan = await Plan.of(t, {}, ['a']);
  const started = (levels: CoordinatorConfig['levels']) => Coordinator.start({ ...plan.config('a'), levels });
  await t.throwsAsync(started([{ name: 'x', match: { type: 'FilesytemWrite' }, level: 'causal' }]), { code: 'CONFIG_INVALID', message: /rule "x".*did you mean FilesystemWrite/ });
  await t.throwsAsync(started([{ name: 'x', match: { path: '/[' }, level: 'causal' }]), { code: 'CONFIG_INVALID', message: /rule "x".*glob/ });
  await t.throwsAsync(started([{ name: 'x', match: { path: 'relative' }, level: 'causal' }]), { code: 'CONFIG_INVALID', message: /absolute/ });
});
