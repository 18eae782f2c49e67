/** Members of one machine that reach each other over sockets of it, and their API too. */
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ApiClient, ApiServer, OrderedPublisher } from '../dist/api/index.js';
import type { CoordinatorConfig } from '../dist/index.js';
import { MemoryNode } from './api-memory-node.js';
import { vexcoord } from './cli-run.js';
import { Authority } from './fixtures/certificates.js';
import { ServedTokenList } from './fixtures/tokens.js';
import { checkJournals, codeOf, type Host, persist, Plan, room, until } from './helpers/cluster.js';
import { NodeProcess, ProcessCluster, Writer } from './helpers/node-process.js';

/** Where the sockets of a plan are. */
const socketOf = (directory: string, id: string): string => `unix:${join(directory, `${id}.sock`)}`;
const apiOf = (directory: string, id: string): string => `unix:${join(directory, `${id}.api`)}`;

function planOf(directory: string, ids: readonly string[], joining: readonly string[] = []): Plan {
  const hosts = [...ids, ...joining].map((id): [string, Host] => {
    const others = ids.filter((other) => other !== id);
    const config: Partial<CoordinatorConfig> = {
      listen: socketOf(directory, id),
      api: apiOf(directory, id),
      peers: Object.fromEntries(others.map((other) => [other, socketOf(directory, other)])),
    };
    return [id, { address: 'none', within: [], config }];
  });
  return Plan.on(directory, new Map(hosts));
}

test('three processes over sockets: one is killed and comes back, one joins, and the API answers', async (t) => {
  const directory = room(t);
  const cluster = await ProcessCluster.open(t, planOf(directory, ['a', 'b', 'c']));
  for (const id of ['a', 'b', 'c']) for (const kind of ['sock', 'api']) t.is(statSync(join(directory, `${id}.${kind}`)).mode & 0o777, 0o600);
  const writer = new Writer(t, () => cluster.running);
  await writer.more(100);
  const leader = await cluster.leader();
  await leader.kill();
  t.true(existsSync(join(directory, `${leader.id}.sock`)), 'a process that is killed leaves its socket');
  await writer.more(100);
  await leader.start();
  await writer.more(100);

  const joins = planOf(directory, ['a', 'b', 'c'], ['d']).config('d');
  const joiner = new NodeProcess('d', { ...joins, join: true });
  t.teardown(() => joiner.kill());
  await joiner.start();
  const { members } = await (await cluster.leader()).members('add', 'd', socketOf(directory, 'd'));
  cluster.members.push(joiner);
  t.is(members.find(({ id }) => id === 'd')?.address, socketOf(directory, 'd'));
  await persist('a fourth voter', () => cluster.leader().then((now) => now.members('promote', 'd')));
  await writer.more(50);
  const receipts = await writer.stop();
  await cluster.equal();
  checkJournals(t, await cluster.journals(), receipts);
  for (const status of await cluster.statuses()) {
    t.is(status.health.state, 'ok', status.health.reasons.join('; '));
    t.true(status.members.filter(({ id }) => id !== status.nodeId).every(({ health }) => health === 'ok'));
  }

  const asked = await vexcoord(['status', '--api', apiOf(directory, 'a'), '--output', 'json']);
  t.is(asked.status, 0, asked.stderr);
  t.is((JSON.parse(asked.stdout) as { nodeId: string }).nodeId, 'a');
  const published = await vexcoord(['publish', '--api', `${apiOf(directory, 'none')},${apiOf(directory, 'b')}`], '{"type":"FilesystemWrite","path":"/x"}\n');
  t.is(published.status, 0, published.stderr);

  await cluster.stop();
  t.deepEqual(readdirSync(directory).filter((name) => statSync(join(directory, name)).isSocket()), [], 'who closes takes its sockets away');
});

test('a path that cannot be used is refused with a reason that names it', async (t) => {
  const directory = room(t);
  const plan = planOf(directory, ['a']);
  const first = new NodeProcess('a', plan.config('a'));
  t.teardown(() => first.kill());
  await first.start();

  const refused = async (change: Partial<CoordinatorConfig>): Promise<{ code: string; message: string }> => {
    const other = new NodeProcess('a', { ...plan.in(join(directory, 'other')).config('a'), ...change });
    t.teardown(() => other.kill());
    await other.spawn();
    const error = await t.throwsAsync(other.call('start', other.config));
    await other.kill();
    return error as unknown as { code: string; message: string };
  };
  const taken = await refused({ api: false });
  t.is(taken.code, 'PORT_IN_USE');
  t.true(taken.message.includes(socketOf(directory, 'a')));
  const ofApi = await refused({ listen: socketOf(directory, 'z') });
  t.is(ofApi.code, 'PORT_IN_USE');
  t.true(ofApi.message.includes(apiOf(directory, 'a')));

  writeFileSync(join(directory, 'file'), 'mine');
  const foreign = await refused({ api: false, listen: `unix:${join(directory, 'file')}` });
  t.is(foreign.code, 'CONFIG_INVALID');
  t.regex(foreign.message, /file: a file of another kind is there/);
  const nowhere = await refused({ api: false, listen: `unix:${join(directory, 'no', 'a.sock')}` });
  t.is(nowhere.code, 'CONFIG_INVALID');
  t.regex(nowhere.message, /no\/a\.sock: its directory is not there, or may not be written/);
  for (const path of [`/${'x'.repeat(107)}`, 'a.sock', '/', '/a/..', '/a,b', '/a\nb']) {
    const error = await refused({ listen: `unix:${path}` });
    t.is(error.code, 'CONFIG_INVALID');
    t.regex(error.message, /^CONFIG_INVALID: listen .*at most 107 bytes/s);
  }
  // What is refused has harmed nobody.
  t.is((await first.status()).health.state, 'ok');
  t.is(await codeOf(first.members('add', 'd', 'unix:relative')), 'MEMBER_INVALID');
  await until('an answer', async () => (await vexcoord(['status', '--api', apiOf(directory, 'a')])).status === 0);
});

async function serve(t: ExecutionContext, isSecured: boolean, tokens: ServedTokenList | null) {
  const authority = await Authority.new();
  const [node, warnings] = [new MemoryNode(), [] as string[]];
  const certificates = isSecured ? { current: await authority.credentials('a'), onTaken: () => {} } : null;
  const address = apiOf(room(t), 'a');
  const server = await ApiServer.start(node, { address, certificates, tokens, limits: { connectionsMax: 5, callerConnectionsMax: 2 }, logger: { warn: (message) => warnings.push(message) } });
  t.teardown(() => server.close());
  const client = (options = {}): ApiClient => {
    const made = new ApiClient(server.address, options);
    t.teardown(() => made.close());
    return made;
  };
  return { server, node, authority, warnings, client, address };
}

test('the API over a socket: calls, streams, subscriptions; connections are told apart and counted', async (t) => {
  const { server, client, address } = await serve(t, false, null);
  t.is(server.address, address);
  const one = client();
  const receipt = await one.publish({ type: 'FilesystemWrite', path: '/x' });
  t.truthy(receipt.eventId);
  const publisher = new OrderedPublisher([one]);
  const receipts = await Promise.all(Array.from({ length: 20 }, (_, at) => publisher.submit({ type: 'FilesystemWrite', path: `/${at}` })));
  publisher.close();
  t.is(new Set(receipts.map((one) => ('eventId' in one ? one.eventId : one.message))).size, 20);
  const others = [client(), client()];
  await Promise.all(others.map((other) => other.listMembers()));
  t.is((await one.status()).counters?.['api.connections'], 3);
});

test('tokens and certificates say who calls over a socket as over TCP', async (t) => {
  const tokens = new ServedTokenList();
  const token = tokens.add('deploy', 'publisher');
  const plain = await serve(t, false, tokens);
  await plain.client({ token }).publish({ type: 'FilesystemWrite', path: '/x' });
  t.is(await codeOf(plain.client().status()), 'UNAUTHENTICATED');
  await plain.client({ token }).status();
  t.is(await codeOf(plain.client({ token }).status()), 'CONNECTIONS_MAX', 'of one caller there are two');
  tokens.revoke('deploy');
  t.is(await codeOf(plain.client({ token }).status()), 'UNAUTHENTICATED');

  const secured = await serve(t, true, null);
  const { ca, cert, key } = await secured.authority.credentials('r', { role: 'reader' });
  const reader = secured.client({ tls: { ca, cert, key } });
  await reader.status();
  t.is(await codeOf(reader.publish({ type: 'FilesystemWrite', path: '/x' })), 'PERMISSION_DENIED');
  t.is(await codeOf(secured.client().status()), 'UNAVAILABLE');
});
