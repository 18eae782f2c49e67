/** The API's port where it has TLS: what it does with connections that are not, or not yet, let in. */
import { lookup } from 'node:dns/promises';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import FakeTimers from '@sinonjs/fake-timers';
import test, { type ExecutionContext } from 'ava';
import { ApiClient, ApiServer } from '../dist/api/index.js';
import { SERVICE_NAME } from '../dist/api/schema.js';
import type { Credentials } from '../dist/network/credentials.js';
import { MemoryNode } from './api-memory-node.js';
import { Authority } from './fixtures/certificates.js';
import { codeOf, sleep, until } from './helpers/cluster.js';

const HANDSHAKES_MAX = 256;

async function serve(t: ExecutionContext, authority: Authority): Promise<{ server: ApiServer; warnings: string[]; ask(credentials: Credentials): Promise<string> }> {
  const warnings: string[] = [];
  const certificates = { current: await authority.credentials('a'), onTaken: () => {} };
  const server = await ApiServer.start(new MemoryNode(), { address: '127.0.0.1:0', certificates, logger: { warn: (message) => warnings.push(message) } });
  t.teardown(() => server.close());
  // A client that is not closed dials on.
  const ask = async (tls: Credentials): Promise<string> => {
    const client = new ApiClient(server.address, { tls });
    try {
      return await codeOf(client.status({ timeoutMs: 1_000 }));
    } finally {
      client.close();
    }
  };
  return { server, warnings, ask };
}

/** Connects and says `first` or nothing. */
async function raw(t: ExecutionContext, { host, port }: ApiServer, first?: Uint8Array): Promise<Socket> {
  const socket = connect(port, host);
  socket.on('error', () => {}).resume();
  t.teardown(() => void socket.destroy());
  await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
  if (first !== undefined) socket.write(first);
  return socket;
}

test.serial('handshakes that stall are bounded in number and time, and lock no client out', async (t) => {
  const authority = await Authority.new();
  const { server, ask, warnings } = await serve(t, authority);
  const half = Buffer.from([0x16, 3, 1, 2, 0, 1]);
  const stalled: Socket[] = [];
  for (let at = 0; at < 3 * HANDSHAKES_MAX; at++) stalled.push(await raw(t, server, at % 2 === 0 ? half : undefined));
  const open = (): number => stalled.filter(({ closed }) => !closed).length;
  await until('the oldest to make room', () => open() <= HANDSHAKES_MAX);
  t.is(await ask(await authority.credentials('me', { role: 'reader' })), 'none');
  await until('the end of their time', () => open() === 0, 20_000);
  t.true(warnings.length <= 2, 'one machine is told of once before somebody was let in, and once after it');
});

test.serial('the oldest handshake makes room for the newest, though its time is not up', async (t) => {
  // No handshake's time passes while this clock stands.
  const clock = FakeTimers.install({ toFake: ['setTimeout', 'clearTimeout'] });
  t.teardown(() => clock.uninstall());
  const { server } = await serve(t, await Authority.new());
  const stalled: Socket[] = [];
  for (let at = 0; at < HANDSHAKES_MAX + 50; at++) stalled.push(await raw(t, server));
  const open = (): number => stalled.filter(({ closed }) => !closed).length;
  const startedMs = performance.now();
  while (open() > HANDSHAKES_MAX && performance.now() - startedMs < 20_000) await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual([open(), stalled[0]!.closed, stalled.at(-1)!.closed], [HANDSHAKES_MAX, true, false]);
});

test('who is refused at the door is told of once for each machine, with the reason', async (t) => {
  const [authority, other] = [await Authority.new(), await Authority.new()];
  const { server, warnings, ask } = await serve(t, authority);
  const expired = await authority.credentials('me', { role: 'operator', untilMs: -1_000 });
  for (let at = 0; at < 3; at++) t.is(await ask(expired), 'UNAVAILABLE');
  t.is(warnings.length, 1);
  t.regex(warnings[0]!, /^the API refused a connection from 127\.0\.0\.1:\d+: certificate [0-9a-f]+ of operator "me" of cluster "test" expired at 20/);
  const good = await authority.credentials('me', { role: 'operator' });
  // One that is let in makes the next refusal news again, which may be a late one of those before.
  const next = (reason: RegExp, dial: () => Promise<unknown>): Promise<void> =>
    until(`the reason ${reason}`, async () => {
      t.is(await ask(good), 'none');
      await dial();
      await sleep(100);
      return warnings.some((warning) => reason.test(warning));
    });
  const stranger = { ...(await other.credentials('me', { role: 'operator' })), ca: authority.cert };
  await next(/of operator "me" .* was not issued by an authority that the other side knows/, () => ask(stranger));
  await next(/no handshake of TLS 1\.3 came: /, () => raw(t, server, Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')));
  await next(/one side of the connection has security\.tls/, () => raw(t, server, Buffer.from('VXP1')));
  await next(/no certificate was shown$/, async () => connectTls({ host: server.host, port: server.port, rejectUnauthorized: false }).on('error', () => {}));
});

test('a name stands for all its addresses on this machine, at one port', async (t) => {
  const server = await ApiServer.start(new MemoryNode(), { address: 'localhost:0' });
  t.teardown(() => server.close());
  for (const { address } of await lookup('localhost', { all: true })) {
    const client = new ApiClient(`${address.includes(':') ? `[${address}]` : address}:${server.port}`);
    t.teardown(() => client.close());
    t.is(await codeOf(client.status()), 'none', address);
  }
  t.is(await codeOf(ApiServer.start(new MemoryNode(), { address: '192.0.2.1:0' })), 'CONFIG_INVALID');
  t.is(await codeOf(ApiServer.start(new MemoryNode(), { address: `localhost:${server.port}` })), 'PORT_IN_USE');
});

test('no session is resumed at the API either, and what is no HTTP/2 gets no further', async (t) => {
  const authority = await Authority.new();
  const { server } = await serve(t, authority);
  const { ca, cert, key } = await authority.credentials('me', { role: 'reader' });
  const meet = async (session?: Buffer, ALPNProtocols: string[] = ['h2']) => {
    const socket = connectTls({ host: server.host, port: server.port, ca, cert, key, ALPNProtocols, checkServerIdentity: () => undefined, ...(session === undefined ? {} : { session }) });
    t.teardown(() => void socket.destroy());
    socket.on('error', () => {}).resume();
    const ended = new Promise<null>((resolve) => socket.once('close', () => resolve(null)));
    const ticket = await Promise.race([ended, new Promise<Buffer>((resolve) => socket.once('session', resolve))]);
    return { ticket, reused: socket.isSessionReused(), ended };
  };
  const first = await meet();
  t.not(first.ticket, null);
  t.false((await meet(first.ticket ?? undefined)).reused);
  t.is(await (await meet(undefined, ['http/1.1'])).ended, null);
  t.is(await codeOf(ApiServer.start(new MemoryNode(), { address: server.address, certificates: { current: await authority.credentials('a'), onTaken: () => {} } })), 'PORT_IN_USE');
});

/** What a call is answered whose caller looks at nothing; ours look for a node of their own cluster first. */
async function callBare(t: ExecutionContext, { address }: ApiServer, { ca, cert, key }: Credentials, path: string): Promise<{ status: string; message: string }> {
  const session = connectHttp2(`https://${address}`, { ca, cert, key, checkServerIdentity: () => undefined });
  t.teardown(() => session.destroy());
  const call = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' });
  // A message without fields.
  call.end(Buffer.alloc(5));
  return new Promise((resolve, reject) => {
    session.once('error', reject);
    const told = (headers: Record<string, unknown>): void => {
      if (headers['grpc-status'] !== undefined) resolve({ status: String(headers['grpc-status']), message: decodeURI(String(headers['grpc-message'] ?? '')) });
    };
    call.once('response', told).once('trailers', told).resume();
  });
}

test('a certificate of another cluster, or one that names nobody, is good for no call, be it of health or reflection', async (t) => {
  const authority = await Authority.new();
  const { server } = await serve(t, authority);
  const paths = [`/${SERVICE_NAME}/Status`, '/grpc.health.v1.Health/Check', '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo'];
  const good = await authority.credentials('me', { role: 'reader' });
  for (const path of paths.slice(0, 2)) t.is((await callBare(t, server, good, path)).status, '0', path);
  const elsewhere = await authority.credentials('me', { role: 'operator', clusterId: 'other' });
  const nobody = await authority.credentials('me/and/more', { role: 'operator' });
  for (const path of paths) {
    t.deepEqual(await callBare(t, server, elsewhere, path), { status: '7', message: 'the certificate is that of operator "me" of cluster "other"; this is cluster "test"' }, path);
    t.deepEqual(await callBare(t, server, nobody, path), { status: '7', message: 'the certificate does not say whose it is' }, path);
  }
});

test('a certificate that expires while its connection is open has no more calls on it', async (t) => {
  const authority = await Authority.new();
  const { server } = await serve(t, authority);
  const client = new ApiClient(server.address, { tls: await authority.credentials('me', { role: 'reader', untilMs: 6_000 }) });
  t.teardown(() => client.close());
  t.is(await codeOf(client.status()), 'none');
  await until('its end', async () => (await codeOf(client.status())) === 'PERMISSION_DENIED', 20_000);
  t.regex((await t.throwsAsync(client.status()))!.message, /of reader "me" of cluster "test" expired at 20/);
});

test.serial('a client looks at who answers, whatever the environment says', async (t) => {
  const [authority, other] = [await Authority.new(), await Authority.new()];
  const { server } = await serve(t, authority);
  const { cert, key } = await authority.credentials('me', { role: 'operator' });
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  t.teardown(() => delete process.env.NODE_TLS_REJECT_UNAUTHORIZED);
  const client = new ApiClient(server.address, { tls: { ca: other.cert, cert, key } });
  t.teardown(() => client.close());
  t.is(await codeOf(client.status({ timeoutMs: 1_000 })), 'UNAVAILABLE');
});
