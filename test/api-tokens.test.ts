/** Who may call what over the API by tokens. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { ApiClient, type ApiClientOptions, ApiServer, OrderedPublisher } from '../dist/api/index.js';
import { newEventId } from '../dist/events/index.js';
import type { Credentials } from '../dist/network/credentials.js';
import { MemoryNode } from './api-memory-node.js';
import { Authority } from './fixtures/certificates.js';
import { ServedTokenList } from './fixtures/tokens.js';
import { codeOf, room, until } from './helpers/cluster.js';

const EVENT = { type: 'FilesystemWrite', path: '/x' } as const;

interface Served {
  readonly node: MemoryNode;
  readonly server: ApiServer;
  readonly tokens: ServedTokenList;
  readonly warnings: string[];
  /** Null on a plain port. */
  readonly ca: string | null;
  client(options: ApiClientOptions): ApiClient;
  /** With a token and no certificate. */
  showing(token: string): ApiClient;
}

async function serve(t: ExecutionContext, authority: Authority | null, auditFile: string | null = null): Promise<Served> {
  const [node, tokens, warnings] = [new MemoryNode(), new ServedTokenList(), [] as string[]];
  const certificates = authority === null ? null : { current: await authority.credentials('a'), onTaken: () => {} };
  const server = await ApiServer.start(node, { address: '127.0.0.1:0', certificates, tokens, auditFile, logger: { warn: (message) => warnings.push(message) } });
  t.teardown(() => server.close());
  const client = (options: ApiClientOptions): ApiClient => {
    const made = new ApiClient(server.address, options);
    t.teardown(() => made.close());
    return made;
  };
  const ca = authority?.cert ?? null;
  return { node, server, tokens, warnings, ca, client, showing: (token) => client({ token, tls: ca === null ? null : { ca } }) };
}

/** What a call is answered first that sends a message without fields, and a token if any. */
function rawCall(session: ClientHttp2Session, path: string, token: string | null): Promise<Record<string, unknown>> {
  const call = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...(token === null ? {} : { authorization: `Bearer ${token}` }) });
  call.end(Buffer.alloc(5));
  call.resume();
  return new Promise((resolve, reject) => call.once('response', resolve).once('error', reject));
}

const why = async (t: ExecutionContext, promise: Promise<unknown>, code: string): Promise<string> => {
  const error = await t.throwsAsync(promise);
  t.like(error, { code, committed: 'no' });
  return error!.message;
};

test('a token lets in who has no certificate, for what its role may do', async (t) => {
  const { tokens, showing } = await serve(t, await Authority.new());
  const reader = showing(tokens.add('r', 'reader'));
  const publisher = showing(tokens.add('p', 'publisher'));
  const operator = showing(tokens.add('o', 'operator', { untilMs: null }));
  await reader.status();
  const event = { id: newEventId(), ...EVENT };
  t.is(await why(t, reader.publish(event), 'PERMISSION_DENIED'), 'reader "r" of cluster "test" may not call Publish; that takes the role publisher or operator');
  await publisher.publish(event);
  t.is(await why(t, publisher.removeMember('x'), 'PERMISSION_DENIED'), 'publisher "p" of cluster "test" may not call ChangeMembers; that takes the role operator');
  await operator.removeMember('x');
  const publishing = new OrderedPublisher([reader]);
  t.is(((await publishing.submit({ id: newEventId(), ...EVENT })) as { code?: string }).code, 'PERMISSION_DENIED');
  publishing.close();
});

test('who shows neither a certificate nor a token, or a token that is not good, is told why and not let in', async (t) => {
  const authority = await Authority.new();
  const { tokens, showing, server, ca, warnings } = await serve(t, authority);
  const good = tokens.add('p', 'publisher');
  const bare = connectHttp2(`https://${server.address}`, { ca: ca!, checkServerIdentity: () => undefined });
  t.teardown(() => bare.destroy());
  const headers = await rawCall(bare, '/grpc.health.v1.Health/Check', null);
  t.is(headers['grpc-status'], '16');
  t.is(headers['vexfs-code'], 'UNAUTHENTICATED');
  t.regex(warnings[0] ?? '', /^the API refused a call from 127\.0\.0\.1:\d+: the call comes without a certificate and without a token/);

  const other = good.slice(0, -4) + (good.endsWith('AAAA') ? 'BBBB' : 'AAAA');
  t.is(await why(t, showing(other).status(), 'UNAUTHENTICATED'), 'the token is not among those of this node');
  t.regex(await why(t, showing(tokens.add('old', 'operator', { untilMs: -1_000 })).status(), 'UNAUTHENTICATED'), /^the token of operator "old" of cluster "test" expired at 20/);
  const gone = tokens.add('gone', 'operator');
  tokens.revoke('gone');
  t.is(await why(t, showing(gone).status(), 'UNAUTHENTICATED'), 'the token of operator "gone" of cluster "test" was revoked');
  t.true(Number((await showing(good).status()).counters['api.callsUnauthenticated']) >= 4);
});

test('a token of another cluster is not taken, and its holder does not show it to a node of this one', async (t) => {
  const authority = await Authority.new();
  const { tokens, showing, server, node } = await serve(t, authority);
  const elsewhere = tokens.add('o', 'operator', { clusterId: 'other' });
  t.is(await codeOf(showing(elsewhere).status()), 'UNAVAILABLE');
  const bare = connectHttp2(`https://${server.address}`, { ca: authority.cert, checkServerIdentity: () => undefined });
  t.teardown(() => bare.destroy());
  const headers = await rawCall(bare, '/vexfs.coordinator.v1.Coordinator/Status', elsewhere);
  t.is(decodeURI(String(headers['grpc-message'])), `the token is one of cluster "other"; this is cluster "${node.clusterId}"`);
});

test('where no tokens are taken, who shows no certificate is refused as ever, with or without one', async (t) => {
  const authority = await Authority.new();
  const certificates = { current: await authority.credentials('a'), onTaken: () => {} };
  const server = await ApiServer.start(new MemoryNode(), { address: '127.0.0.1:0', certificates });
  t.teardown(() => server.close());
  const client = new ApiClient(server.address, { tls: { ca: authority.cert }, token: new ServedTokenList().add('o', 'operator') });
  t.teardown(() => client.close());
  t.is(await codeOf(client.status()), 'UNAVAILABLE');
});

test('certificates go on beside tokens; a token that comes with one says the role, and the certificate has to be good all the same', async (t) => {
  const authority = await Authority.new();
  const { tokens, client } = await serve(t, authority);
  const reader = await authority.credentials('me', { role: 'reader' });
  await client({ tls: reader }).status();
  t.is(await codeOf(client({ tls: reader }).removeMember('x')), 'PERMISSION_DENIED');
  await client({ tls: reader, token: tokens.add('o', 'operator') }).removeMember('x');
  const operator = await authority.credentials('me', { role: 'operator' });
  t.is(await codeOf(client({ tls: operator, token: tokens.add('r', 'reader') }).removeMember('x')), 'PERMISSION_DENIED');
  const expired = await authority.credentials('me', { role: 'operator', untilMs: -1_000 });
  t.is(await codeOf(client({ tls: expired, token: tokens.add('o2', 'operator') }).status()), 'UNAVAILABLE');
});

test('a revoked certificate is none the better for a token that comes with it', async (t) => {
  const authority = await Authority.new();
  const revoked = await authority.credentials('me', { role: 'operator' });
  const [tokens, certificates] = [new ServedTokenList(), { current: await authority.credentials('a', {}, [revoked.serial]), onTaken: () => {} }];
  const server = await ApiServer.start(new MemoryNode(), { address: '127.0.0.1:0', certificates, tokens });
  t.teardown(() => server.close());
  const client = new ApiClient(server.address, { tls: revoked, token: tokens.add('o', 'operator') });
  t.teardown(() => client.close());
  t.regex(await why(t, client.status(), 'PERMISSION_DENIED'), /^certificate .* of operator "me" of cluster "test" was revoked$/);
});

for (const how of ['revoked', 'taken off the list', 'made another', 'given another role'] as const) {
  test(`a token that is ${how} ends the calls and the connections of its holder, and of nobody else`, async (t) => {
    const { node, tokens, showing } = await serve(t, await Authority.new());
    const [victim, other] = [showing(tokens.add('victim', 'publisher')), showing(tokens.add('other', 'publisher'))];
    const streams = [victim.subscribe({ from: 'first' }), other.subscribe({ from: 'first' })];
    const received = [0, 0];
    const ends = streams.map(async (stream, at) => {
      for await (const _ of stream) received[at]! += 1;
    });
    await other.publish({ id: newEventId(), ...EVENT });
    await until('the first event', () => received.every((count) => count === 1));
    const publish = node.publish.bind(node);
    node.publish = async (event, options) => {
      await publish(event, options);
      await new Promise((resolve) => options?.signal?.addEventListener('abort', resolve));
      throw new Error('nobody hears this');
    };
    const cut = t.throwsAsync(victim.publish({ id: newEventId(), ...EVENT }));
    await until('the second event', () => received.every((count) => count === 2));
    node.publish = publish;

    if (how === 'revoked') tokens.revoke('victim');
    else if (how === 'taken off the list') tokens.take(tokens.current.filter(({ name }) => name !== 'victim'));
    else if (how === 'made another') tokens.change('victim', { sha256: '0'.repeat(64) });
    else tokens.change('victim', { role: 'reader' });
    t.like(await cut, { code: 'UNAUTHENTICATED', committed: 'unknown', message: `the token of publisher "victim" of cluster "test" was ${how === 'revoked' ? 'revoked' : 'taken away or changed'}` });
    t.like(await t.throwsAsync(ends[0]!), { code: 'UNAUTHENTICATED' });
    await other.publish({ id: newEventId(), ...EVENT });
    await until('the third event', () => received[1] === 3);
    t.is(received[0], 2);
    t.is((await other.status()).counters['api.connections'], 1);
    if (how === 'given another role') await until('its other role, on a new connection', async () => (await codeOf(victim.publish({ id: newEventId(), ...EVENT }))) === 'PERMISSION_DENIED');
    else t.is(await codeOf(victim.status()), 'UNAUTHENTICATED');
    await streams[1]!.close();
    await ends[1];
  });
}

test('a connection whose token or certificate is revoked is closed though nothing is under way on it', async (t) => {
  const authority = await Authority.new();
  const [tokens, listeners] = [new ServedTokenList(), [] as ((files: Credentials) => void)[]];
  const certificates = { current: await authority.credentials('a'), onTaken: (listener: (files: Credentials) => void) => void listeners.push(listener) };
  const server = await ApiServer.start(new MemoryNode(), { address: '127.0.0.1:0', certificates, tokens });
  t.teardown(() => server.close());
  const idle = async (token: string | null, own: Partial<Credentials>): Promise<ClientHttp2Session> => {
    const session = connectHttp2(`https://${server.address}`, { ca: authority.cert, ...own, checkServerIdentity: () => undefined });
    t.teardown(() => session.destroy());
    const headers = await rawCall(session, '/grpc.health.v1.Health/Check', token);
    t.is(headers['grpc-status'] ?? '0', '0');
    return session;
  };
  const { cert, key, serial } = await authority.credentials('me', { role: 'reader' });
  const revokes = [await idle(tokens.add('p', 'publisher'), {}), await idle(null, { cert, key })];
  const stays = await idle(tokens.add('other', 'publisher'), {});
  tokens.revoke('p');
  await until('the end of that of the token', () => revokes[0]!.closed);
  t.false(revokes[1]!.closed);
  for (const listener of listeners) listener({ ...certificates.current, revoked: [serial] });
  await until('the end of that of the certificate', () => revokes[1]!.closed);
  t.is((await rawCall(stays, '/grpc.health.v1.Health/Check', tokens.add('x', 'reader')))['grpc-status'] ?? '0', '0');
});

test('a call that a token began goes on when the token expires; there is no next one', async (t) => {
  const { tokens, showing } = await serve(t, await Authority.new());
  const client = showing(tokens.add('p', 'publisher', { untilMs: 3_000 }));
  const subscription = client.subscribe({ from: 'first' });
  const events = subscription[Symbol.asyncIterator]();
  const first = events.next();
  await client.publish({ id: newEventId(), ...EVENT });
  await first;
  await until('its end', async () => (await codeOf(client.status())) === 'UNAUTHENTICATED');
  const second = events.next();
  await showing(tokens.add('p2', 'publisher')).publish({ id: newEventId(), ...EVENT });
  t.false((await second).done ?? false);
  await subscription.close();
});

test('on a plain port of this machine every call takes a token where there are some', async (t) => {
  const { tokens, showing, client, server } = await serve(t, null);
  t.is(await codeOf(client({}).status()), 'UNAUTHENTICATED');
  const token = tokens.add('o', 'operator');
  await showing(token).removeMember('x');
  t.is(await codeOf(showing(tokens.add('r', 'reader')).removeMember('x')), 'PERMISSION_DENIED');
  t.notThrows(() => new ApiClient('127.0.0.1:1', { token }).close());
  const refused = { code: 'ADDRESS_REFUSED', message: /^the token of "o" would go to 10\.0\.0\.1:7401 in plain text/ };
  t.throws(() => new ApiClient('10.0.0.1:7401', { token }), refused);
  t.throws(() => new ApiClient('localhost.example:7401', { token }), { code: 'ADDRESS_REFUSED' });
  t.notThrows(() => new ApiClient('10.0.0.1:7401', { token, insecure: true }).close());
  for (const wrong of ['', 'secret', token.slice(1), `${token}x`, token.replace('test', 'te st')]) t.throws(() => new ApiClient(server.address, { token: wrong }), { code: 'TOKEN_INVALID' }, wrong);
});

test('a token that comes in plain text from another machine is not taken, unless that is allowed', (t) => {
  const fixture = fileURLToPath(new URL('./fixtures/plain-token.mjs', import.meta.url));
  const answered = (insecure: boolean): string => {
    // An address that is not of loopback, in a network of its own.
    const script = `ip link set lo up && ip addr add 10.9.9.9/32 dev lo && exec "${process.execPath}" "${fixture}" 10.9.9.9 ${insecure}`;
    const { status, stdout, stderr } = spawnSync('unshare', ['-rn', 'sh', '-c', script], { encoding: 'utf8' });
    return status === 0 ? stdout.trim() : `none: ${stderr}`;
  };
  const refused = answered(false);
  if (/^none: .*(unshare|ip: not found|Operation not permitted|ENOENT)/s.test(refused)) {
    t.log(`skipped: no network namespace of its own: ${refused}`);
    t.pass();
    return;
  }
  t.is(refused, 'UNAUTHENTICATED a token that comes in plain text from another machine is not taken: anybody on the way may have it now');
  t.is(answered(true), 'none');
});

test('the record names whose token an operator has shown, and not the token', async (t) => {
  const path = join(room(t), 'audit.jsonl');
  const { tokens, showing } = await serve(t, await Authority.new(), path);
  const token = tokens.add('deploy', 'operator');
  await showing(token).addMember('d', '127.0.0.1:9');
  const text = readFileSync(path, 'utf8');
  t.like(JSON.parse(text.split('\n')[0]!), { asks: 'ChangeMembers', by: { role: 'operator', name: 'deploy', via: 'token' } });
  t.false(text.includes(token.slice(-43)));
});

test('a client that shows a token looks at who answers, as one with a certificate does', async (t) => {
  const [authority, other] = [await Authority.new(), await Authority.new()];
  const { tokens, client, server } = await serve(t, authority);
  const token = tokens.add('o', 'operator');
  t.is(await codeOf(client({ token, tls: { ca: other.cert } }).status()), 'UNAVAILABLE');
  t.throws(() => new ApiClient(server.address, { tls: { ca: authority.cert } }), { code: 'CERTIFICATE_INVALID', message: /neither a certificate nor a token/ });
  const { cert } = await authority.credentials('me', { role: 'reader' });
  t.throws(() => new ApiClient(server.address, { tls: { ca: authority.cert, cert } }), { code: 'CERTIFICATE_INVALID', message: /go together/ });
  const impostor = { current: await authority.credentials('x', { role: 'operator' }), onTaken: () => {} };
  const answering = await ApiServer.start(new MemoryNode(), { address: '127.0.0.1:0', certificates: impostor, tokens });
  t.teardown(() => answering.close());
  const led = new ApiClient(answering.address, { token, tls: { ca: authority.cert } });
  t.teardown(() => led.close());
  t.is(await codeOf(led.status()), 'UNAVAILABLE');
});

test('who comes with a certificate that is not believed is not let in as one without', async (t) => {
  const [authority, other] = [await Authority.new(), await Authority.new()];
  const { tokens, client, server, warnings } = await serve(t, authority);
  const stranger = await other.credentials('me', { role: 'operator' });
  t.is(await codeOf(client({ token: tokens.add('o', 'operator'), tls: { ...stranger, ca: authority.cert } }).status()), 'UNAVAILABLE');
  t.regex(warnings.join(), /was not issued by an authority that the other side knows/);
  const older = connectTls({ host: server.host, port: server.port, rejectUnauthorized: false, maxVersion: 'TLSv1.2' });
  t.regex((await new Promise<Error>((resolve) => older.once('error', resolve))).message, /protocol version/);
});
