/** How many connections the API has, in all and of each caller, and what those are told that are too many. */
import { connect, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { ApiClient, type ApiClientOptions, ApiServer, type ApiServerOptions, isRetryable } from '../dist/api/index.js';
import { Connections } from '../dist/api/connections.js';
import type { CoordinatorError } from '../dist/errors/index.js';
import { MemoryNode } from './api-memory-node.js';
import { Authority } from './fixtures/certificates.js';
import { ServedTokenList } from './fixtures/tokens.js';
import { until } from './helpers/cluster.js';

const UNPROVEN_MAX = 256;
const LEAVING_MAX = 64;

async function serve(t: ExecutionContext, options: Partial<ApiServerOptions>) {
  const warnings: string[] = [];
  const server = await ApiServer.start(new MemoryNode(), { address: '127.0.0.1:0', logger: { warn: (message) => warnings.push(message) }, ...options });
  t.teardown(() => server.close());
  const dial = (client: ApiClientOptions = {}): ApiClient => {
    const made = new ApiClient(server.address, client);
    t.teardown(() => made.close());
    return made;
  };
  return { server, warnings, dial };
}

const counts = async (client: ApiClient): Promise<Record<string, number>> => {
  const { counters } = await client.status();
  return Object.fromEntries(Object.entries(counters).filter(([name]) => name.startsWith('api.')));
};

async function refused(t: ExecutionContext, client: ApiClient, why: RegExp): Promise<void> {
  const error = await t.throwsAsync(client.status(), { code: 'CONNECTIONS_MAX', message: why });
  t.true(isRetryable(error as CoordinatorError));
  t.is((error as CoordinatorError).committed, 'no');
}

test('a caller with certificates has so many connections; who else comes is let in, and a place that is free is taken', async (t) => {
  const authority = await Authority.new();
  const { dial, warnings } = await serve(t, { certificates: { current: await authority.credentials('a'), onTaken: () => {} }, limits: { callerConnectionsMax: 2 } });
  // The same caller, by another certificate.
  const clients = [dial({ tls: await authority.credentials('me', { role: 'reader' }) }), dial({ tls: await authority.credentials('me', { role: 'reader' }) })];
  for (const client of clients) await client.status();
  const third = dial({ tls: await authority.credentials('me', { role: 'reader' }) });
  await refused(t, third, /^vexfs:\/\/test\/reader\/me has as many connections to the API as one caller may have: 2 \(limits\.apiCallerConnectionsMax\)$/);
  t.regex(warnings.join(), /^the API refused a connection from 127\.0\.0\.1:\d+: vexfs:\/\/test\/reader\/me has as many connections/);
  const other = dial({ tls: await authority.credentials('me', { role: 'publisher' }) });
  t.like(await counts(other), { 'api.connections': 3, 'api.connectionsRefused': 1 });
  clients[0]!.close();
  await until('the place', async () => (await counts(other))['api.connections'] === 2);
  await until('who was refused to be let in', () => third.status().then(() => true, () => false));
});

test('a caller with a token has so many connections too', async (t) => {
  const authority = await Authority.new();
  const tokens = new ServedTokenList();
  const { dial } = await serve(t, { certificates: { current: await authority.credentials('a'), onTaken: () => {} }, tokens, limits: { callerConnectionsMax: 1 } });
  const [mine, others] = [tokens.add('mine', 'reader'), tokens.add('others', 'reader')];
  const tls = { ca: authority.cert };
  await dial({ tls, token: mine }).status();
  await refused(t, dial({ tls, token: mine }), /^token "mine" has as many connections to the API as one caller may have: 1/);
  const other = dial({ tls, token: others });
  t.like(await counts(other), { 'api.connections': 2, 'api.connectionsRefused': 1 });
});

for (const port of ['plain', 'TLS'] as const) {
  test(`all callers together have so many, on a ${port} port`, async (t) => {
    const authority = await Authority.new();
    const certificates = port === 'plain' ? null : { current: await authority.credentials('a'), onTaken: () => {} };
    const { dial } = await serve(t, { certificates, limits: { connectionsMax: 3 } });
    const as = async (name: string): Promise<ApiClient> => dial({ tls: port === 'plain' ? null : await authority.credentials(name, { role: 'reader' }) });
    const clients = [await as('a'), await as('b'), await as('c')];
    for (const client of clients) await client.status();
    const fourth = await as('d');
    await refused(t, fourth, /^the API has as many connections as it may have: 3 \(limits\.apiConnectionsMax\)$/);
    // Those that are in are not touched.
    for (const client of clients) await client.status();
    clients[2]!.close();
    await until('the place', () => fourth.status().then(() => true, () => false));
    t.like(await counts(clients[0]!), { 'api.connections': 3 });
  });
}

test('a connection that is refused ends soon, though its client would keep it', async (t) => {
  const authority = await Authority.new();
  const { dial, server } = await serve(t, { certificates: { current: await authority.credentials('a'), onTaken: () => {} }, limits: { connectionsMax: 1 } });
  await dial({ tls: await authority.credentials('a', { role: 'reader' }) }).status();
  const { cert, key } = await authority.credentials('b', { role: 'reader' });
  const sockets = Array.from({ length: 100 }, () => connectTls({ host: server.host, port: server.port, ca: authority.cert, cert, key, ALPNProtocols: ['h2'], checkServerIdentity: () => undefined }));
  t.teardown(() => sockets.forEach((socket) => void socket.destroy()));
  for (const socket of sockets) socket.on('error', () => {}).resume();
  await until('their end', () => sockets.every(({ closed }) => closed), 20_000);
  t.pass();
});

test('those that are refused and wait to hear it are bounded as well: the oldest makes room for the newest', (t) => {
  const connections = new Connections({ connectionsMax: 1, callerConnectionsMax: 1 });
  const streams = Array.from({ length: 101 }, () => new PassThrough());
  t.teardown(() => streams.forEach((stream) => void stream.destroy()));
  const answers = streams.map((stream, at) => connections.enter({ stream, remote: `10.0.0.1:${at}`, certificate: null, isEncrypted: false }, true)?.code ?? 'none');
  t.deepEqual(answers, ['none', ...Array.from({ length: 100 }, () => 'CONNECTIONS_MAX')]);
  t.deepEqual(streams.map(({ destroyed }) => destroyed), Array.from({ length: 101 }, (_, at) => at > 0 && at <= 100 - LEAVING_MAX));
});

test('of those that have shown nothing the oldest makes room for the newest, though its time is not up', (t) => {
  const connections = new Connections({ connectionsMax: 1, callerConnectionsMax: 1 });
  const streams = Array.from({ length: UNPROVEN_MAX + 10 }, () => new PassThrough());
  t.teardown(() => streams.forEach((stream) => void stream.destroy()));
  for (const [at, stream] of streams.entries()) t.is(connections.enter({ stream, remote: `10.0.0.1:${at}`, certificate: null, isEncrypted: true }, false), null);
  t.deepEqual(streams.map(({ destroyed }) => destroyed), streams.map((_, at) => at < 10));
  t.is(connections.counts.connectionsDropped, 10);
});

test.serial('who shows nothing takes no place: it is closed in time, and makes room for who comes later', async (t) => {
  const tokens = new ServedTokenList();
  const { dial, server } = await serve(t, { tokens, limits: { connectionsMax: 2 } });
  const silent: Socket[] = [];
  for (let at = 0; at < UNPROVEN_MAX + 50; at++) {
    const socket = connect(server.port, server.host);
    socket.on('error', () => {}).resume();
    t.teardown(() => void socket.destroy());
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
    silent.push(socket);
  }
  const open = (): number => silent.filter(({ closed }) => !closed).length;
  await until('the oldest to make room', () => open() <= UNPROVEN_MAX);
  t.true(silent[0]!.closed && !silent.at(-1)!.closed);
  const client = dial({ token: tokens.add('r', 'reader') });
  t.is((await counts(client))['api.connections'], 1);
  await until('the end of their time', () => open() === 0, 20_000);
  const { 'api.connectionsDropped': dropped } = await counts(client);
  t.is(dropped, UNPROVEN_MAX + 50);
});
