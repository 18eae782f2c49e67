/** The API's port where it has TLS: what it does with connections that are not, or not yet, let in. */
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { ApiClient, ApiServer } from '../dist/api/index.js';
import type { Credentials } from '../dist/network/credentials.js';
import { MemoryNode } from './api-memory-node.js';
import { Authority } from './fixtures/certificates.js';
import { codeOf, until } from './helpers/cluster.js';

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

test('who is refused at the door is told of once for each machine, with the reason', async (t) => {
  const [authority, other] = [await Authority.new(), await Authority.new()];
  const { server, warnings, ask } = await serve(t, authority);
  const expired = await authority.credentials('me', { role: 'operator', untilMs: -1_000 });
  for (let at = 0; at < 3; at++) t.is(await ask(expired), 'UNAVAILABLE');
  t.is(warnings.length, 1);
  t.regex(warnings[0]!, /^the API refused a connection from 127\.0\.0\.1:\d+: certificate [0-9a-f]+ of operator "me" of cluster "test" expired at 20/);
  const good = await authority.credentials('me', { role: 'operator' });
  const next = async (reason: RegExp, dial: () => Promise<unknown>): Promise<void> => {
    // One that is let in makes the next refusal news again.
    t.is(await ask(good), 'none');
    const before = warnings.length;
    await dial();
    await until('the reason', () => warnings.length > before);
    t.regex(warnings.at(-1)!, reason);
  };
  const stranger = { ...(await other.credentials('me', { role: 'operator' })), ca: authority.cert };
  await next(/of operator "me" .* was not issued by an authority that the other side knows/, () => ask(stranger));
  await next(/no handshake of TLS 1\.3 came: /, () => raw(t, server, Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')));
  await next(/one side of the connection has security\.tls/, () => raw(t, server, Buffer.from('VXP1')));
  await next(/no certificate was shown$/, async () => connectTls({ host: server.host, port: server.port, rejectUnauthorized: false }).on('error', () => {}));
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
