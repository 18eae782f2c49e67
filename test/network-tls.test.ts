import { connect as connectTcp } from 'node:net';
import { connect, type ConnectionOptions } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import type { Credentials } from '../dist/network/credentials.js';
import type { NetworkEvent } from '../dist/network/events.js';
import { decodeAnswer, HandshakeReader } from '../dist/network/hello.js';
import { HANDSHAKES_MAX, type NetworkOptions } from '../dist/network/options.js';
import { probePeer } from '../dist/network/probe.js';
import type { RefusalCode } from '../dist/network/verdict.js';
import { Authority } from './fixtures/certificates.js';
import { encodeHello, freePort, helloOf, HOST, type Member, optionsOf, rawClient, startMember, until } from './fixtures/network.js';

type Refused = Extract<NetworkEvent, { type: 'refused' }>;

const PATIENCE_MS = 20_000;

const refusals = ({ events }: Member, direction: Refused['direction']): Refused[] => events.filter((event): event is Refused => event.type === 'refused' && event.direction === direction);
const isUp = ({ core }: Member): boolean => core.count('up 0/0') > 0 && core.count('up 0/1') > 0;

/** A member that knows nobody, with these certificates. */
const alone = (t: ExecutionContext, nodeId: string, credentials: Credentials, changes: Partial<NetworkOptions> = {}): Promise<Member> =>
  startMember(t, optionsOf(nodeId, { [nodeId === 'a' ? 'b' : 'a']: 1 }, { credentials, ...changes }));

async function pair(t: ExecutionContext, ofA: Credentials, ofB: Credentials): Promise<[Member, Member]> {
  const portOfA = await freePort();
  const b = await startMember(t, optionsOf('b', { a: portOfA }, { credentials: ofB }));
  const a = await startMember(t, { ...optionsOf('a', { b: b.port }, { credentials: ofA }), listen: { host: HOST, port: portOfA } });
  return [a, b];
}

/** `a` accepts, `b` dials; both know the same refusal and have counted it. */
async function refusedOnBothSides(t: ExecutionContext, ofA: Credentials, ofB: Credentials, code: RefusalCode, reason: RegExp, nodeId = 'b'): Promise<[Refused, Refused]> {
  const a = await alone(t, 'a', ofA);
  const b = await startMember(t, optionsOf(nodeId, { a: a.port }, { credentials: ofB }));
  await until(() => refusals(b, 'outbound').length >= 2 && refusals(a, 'inbound').length >= 2, 'the refusals of both channels', PATIENCE_MS);
  const [out] = refusals(b, 'outbound');
  const [inn] = refusals(a, 'inbound');
  t.deepEqual([out?.code, inn?.code], [code, code]);
  t.is(out?.reason, inn?.reason);
  t.regex(out?.reason ?? '', reason);
  t.true(a.peers.counters.read().certificatesRefused >= 2);
  t.true(b.peers.counters.read().certificatesRefused >= 2);
  t.is(a.peers.counters.read().inboundNow, 0);
  t.false(b.core.calls.some((call) => call.startsWith('up')));
  t.false(a.core.calls.some((call) => call.startsWith('open')));
  return [out!, inn!];
}

test('two members link over TLS, and frames flow both ways', async (t) => {
  const authority = await Authority.new();
  const [a, b] = await pair(t, await authority.credentials('a'), await authority.credentials('b'));
  await until(() => isUp(a) && isUp(b), 'all links', PATIENCE_MS);
  a.core.send([0, 0, Buffer.from('votes')], [0, 1, Buffer.alloc(3_000_000, 'x')], [0, 0, Buffer.from(' and heartbeats')]);
  b.core.send([0, 0, Buffer.from('answers')]);
  await until(() => b.core.bytesOf('a/1').length === 3_000_000 && b.core.bytesOf('a/0').length === 20 && a.core.bytesOf('b/0').length === 7, 'the bytes', PATIENCE_MS);
  t.is(b.core.bytesOf('a/0').toString(), 'votes and heartbeats');
  t.true(b.core.bytesOf('a/1').equals(Buffer.alloc(3_000_000, 'x')));
  await until(() => a.peers.counters.read().handshakesNow === 0 && a.peers.counters.read().inboundNow === 2, 'no handshake to be left');
  t.is(a.peers.counters.read().certificatesRefused, 0);
});

test("a valid certificate of node b cannot speak as node c, and leaves c's connections alone", async (t) => {
  const authority = await Authority.new();
  const [inn] = (await refusedOnBothSides(t, await authority.credentials('a'), await authority.credentials('b'), 'CERTIFICATE_MISMATCH', /calls itself node "b2" has the certificate of node "b"/, 'b2')).slice(1);
  t.is(inn?.peer, 'b2');

  const a = await alone(t, 'a', await authority.credentials('a'));
  const real = await startMember(t, optionsOf('b', { a: a.port }, { credentials: await authority.credentials('b') }));
  await until(() => isUp(real), 'the real b', PATIENCE_MS);
  // With another directory or a newer incarnation, a second b would be noticed, and the first one asked whether it lives.
  const impostor = await startMember(t, {
    ...optionsOf('b', { a: a.port }, { credentials: await authority.credentials('d') }),
    identity: { ...optionsOf('b', {}).identity, incarnation: 9n, life: 7n },
  });
  await until(() => refusals(impostor, 'outbound').length >= 2, 'the refusals', PATIENCE_MS);
  t.is(refusals(impostor, 'outbound')[0]?.code, 'CERTIFICATE_MISMATCH');
  t.is(a.core.calls.filter((call) => call.startsWith('closed')).length, 0);
  t.is(real.core.calls.filter((call) => call.startsWith('down')).length, 0);
});

test('who answers with the certificate of another node is not spoken to', async (t) => {
  const authority = await Authority.new();
  const a = await alone(t, 'a', await authority.credentials('c'));
  const b = await startMember(t, optionsOf('b', { a: a.port }, { credentials: await authority.credentials('b') }));
  await until(() => refusals(b, 'outbound').length >= 2, 'the refusals', PATIENCE_MS);
  t.is(refusals(b, 'outbound')[0]?.code, 'CERTIFICATE_MISMATCH');
  t.regex(refusals(b, 'outbound')[0]?.reason ?? '', /calls itself node "a" has the certificate of node "c"/);
  t.false(b.core.calls.some((call) => call.startsWith('up')));
});

test('a certificate of another authority is refused, and its holder not told by whom', async (t) => {
  const [authority, other] = [await Authority.new(), await Authority.new()];
  const ofA = await authority.credentials('a');
  const ofB = await other.credentials('b');
  // That b does not believe a either is another matter: it is to believe both here.
  const [, inn] = await refusedOnBothSides(t, ofA, { ...ofB, ca: ofB.ca + authority.cert }, 'CERTIFICATE_REFUSED', /of node "b" of cluster "test" was not issued by an authority that the other side knows/);
  t.is(inn.peer, null);

  const a = await alone(t, 'a', ofA);
  const answer = await askRaw(t, a.port, { cert: ofB.cert, key: ofB.key });
  t.deepEqual([answer.accepted, answer.code, answer.nodeId, answer.clusterId], [false, 'CERTIFICATE_REFUSED', '', '']);
  const mute = await askRaw(t, a.port, {});
  t.deepEqual([mute.code, mute.reason], ['CERTIFICATE_REFUSED', 'no certificate was shown']);
});

test('a dialler that does not believe who answers says nothing and refuses', async (t) => {
  const [authority, other] = [await Authority.new(), await Authority.new()];
  const ofA = await other.credentials('a');
  const a = await alone(t, 'a', { ...ofA, ca: ofA.ca + authority.cert });
  const b = await startMember(t, optionsOf('b', { a: a.port }, { credentials: await authority.credentials('b') }));
  await until(() => refusals(b, 'outbound').length >= 2, 'the refusals', PATIENCE_MS);
  t.is(refusals(b, 'outbound')[0]?.code, 'CERTIFICATE_REFUSED');
  t.false(a.core.calls.some((call) => call.startsWith('open')));
});

test('a certificate that has expired or is not good yet is refused', async (t) => {
  const authority = await Authority.new();
  const ofA = await authority.credentials('a');
  await refusedOnBothSides(t, ofA, await authority.credentials('b', { untilMs: -1_000 }), 'CERTIFICATE_REFUSED', /of node "b" of cluster "test" expired at 20\d\d-/);
  await refusedOnBothSides(t, ofA, await authority.credentials('b', { fromMs: 60_000 }), 'CERTIFICATE_REFUSED', /is good only from 20\d\d-/);
});

test('a certificate that is good itself and whose authority has expired is refused, for that reason', async (t) => {
  const [authority, past] = [await Authority.new(), await Authority.new('test', -60_000)];
  const ofA = await authority.credentials('a');
  const ofB = await past.credentials('b');
  const ca = authority.cert + past.cert;
  await refusedOnBothSides(t, { ...ofA, ca }, { ...ofB, ca }, 'CERTIFICATE_REFUSED', /of node "b" of cluster "test" was issued by an authority that is not good now \(CERT_HAS_EXPIRED\)/);
});

test('a certificate for something else than a node of this cluster is refused', async (t) => {
  const authority = await Authority.new();
  const ofA = await authority.credentials('a');
  await refusedOnBothSides(t, ofA, await authority.credentials('b', { role: 'operator' }), 'CERTIFICATE_MISMATCH', /is that of operator "b" of cluster "test"; nodes of cluster "test" are asked for/);
  await refusedOnBothSides(t, ofA, await authority.credentials('b', { clusterId: 'other' }), 'CERTIFICATE_MISMATCH', /is that of node "b" of cluster "other"/);
});

test('a revoked certificate is refused, also one whose connections are open when the list comes', async (t) => {
  const authority = await Authority.new();
  const [ofA, ofB] = [await authority.credentials('a'), await authority.credentials('b')];
  await refusedOnBothSides(t, { ...ofA, revoked: [ofB.serial] }, ofB, 'CERTIFICATE_REFUSED', /of node "b" of cluster "test" was revoked/);

  const [a, b] = await pair(t, ofA, ofB);
  await until(() => isUp(a) && isUp(b) && a.peers.counters.read().inboundNow === 2, 'all links', PATIENCE_MS);
  a.peers.renew({ ...ofA, revoked: ['00ff', ofB.serial] });
  await until(() => a.peers.counters.read().inboundNow === 0 && a.peers.counters.read().linksUpNow === 0, 'the cut of all four connections');
  await until(() => refusals(b, 'outbound').length >= 2 && refusals(a, 'outbound').length >= 2, 'the refusals', PATIENCE_MS);
  for (const refused of [...refusals(a, 'inbound'), ...refusals(a, 'outbound')]) t.regex(refused.reason, /was revoked/);
  const ups = b.core.count('up 0/0');
  // A new certificate of the same node is another one.
  b.peers.renew(await authority.credentials('b'));
  await until(() => b.core.count('up 0/0') > ups && a.peers.counters.read().linksUpNow === 2 && a.peers.counters.read().inboundNow === 2, 'the links with the new certificate', PATIENCE_MS);
  t.pass();
});

test('certificates and the authority change while frames flow, and none is lost', async (t) => {
  const [first, second] = [await Authority.new(), await Authority.new()];
  const [ofA, ofB] = [await first.credentials('a'), await first.credentials('b')];
  const [a, b] = await pair(t, ofA, ofB);
  await until(() => isUp(a) && isUp(b), 'all links', PATIENCE_MS);
  let sent = 0;
  const frame = (): Buffer => {
    const bytes = Buffer.alloc(1_000);
    bytes.writeUInt32LE(sent++);
    return bytes;
  };
  const flowing = setInterval(() => a.core.send([0, 0, frame()], [0, 0, frame()]), 1);
  t.teardown(() => clearInterval(flowing));
  const both = first.cert + second.cert;
  // The order that an operator keeps: first everybody believes both authorities, then the certificates change, then the old one goes.
  const newOfA = await second.credentials('a');
  const newOfB = await second.credentials('b');
  for (const [forA, forB] of [
    [{ ...ofA, ca: both }, { ...ofB, ca: both }],
    [{ ...newOfA, ca: both }, { ...newOfB, ca: both }],
    [newOfA, newOfB],
  ] as const) {
    a.peers.renew(forA);
    b.peers.renew(forB);
    const before = sent;
    await until(() => sent > before + 100, 'frames');
  }
  clearInterval(flowing);
  await until(() => b.core.bytesOf('a/0').length === sent * 1_000, 'all frames', PATIENCE_MS);
  const bytes = b.core.bytesOf('a/0');
  t.true(Array.from({ length: sent }, (_, at) => bytes.readUInt32LE(at * 1_000) === at).every(Boolean));
  t.deepEqual([a.core.count('down 0/0'), b.core.count('down 0/0'), a.peers.counters.read().bytesDropped], [0, 0, 0]);

  // What opens from now on has the new ones.
  t.is((await askRaw(t, a.port, newOfB, 'b2')).code, 'CERTIFICATE_MISMATCH');
  t.is((await askRaw(t, a.port, ofB)).code, 'CERTIFICATE_REFUSED');
});

test('plain and encrypted members do not meet, and both are told why, whichever dials', async (t) => {
  const authority = await Authority.new();
  const unequal = /^one side of the connection has security\.tls and speaks TLS, the other one has not: give it to all members or to none$/;
  const secure = await alone(t, 'a', await authority.credentials('a'));
  const plain = await startMember(t, optionsOf('b', { a: secure.port }));
  await until(() => refusals(plain, 'outbound').length >= 2 && refusals(secure, 'inbound').length >= 2, 'the refusals', PATIENCE_MS);
  for (const refused of [...refusals(plain, 'outbound'), ...refusals(secure, 'inbound')]) {
    t.is(refused.code, 'CERTIFICATE_REFUSED');
    t.regex(refused.reason, unequal);
  }
  t.is(refusals(secure, 'inbound')[0]?.peer, null, 'nothing of what it says is read');

  const plainA = await startMember(t, optionsOf('a', { b: 1 }));
  const secureB = await startMember(t, optionsOf('b', { a: plainA.port }, { credentials: await authority.credentials('b') }));
  await until(() => refusals(plainA, 'inbound').length >= 2 && refusals(secureB, 'outbound').length >= 2, 'the reasons', PATIENCE_MS);
  t.like(refusals(plainA, 'inbound')[0], { code: 'PROTOCOL_ERROR', peer: null });
  for (const refused of [...refusals(plainA, 'inbound'), ...refusals(secureB, 'outbound')]) t.regex(refused.reason, unequal);
  await until(() => secureB.peers.counters.read().refusedOutbound >= 6, 'more dials', PATIENCE_MS);
  t.is(refusals(secureB, 'outbound').length, 2, 'a channel tells it once');
  t.false([plain, secureB].some(({ events }) => events.some((event) => event.type === 'unreachable')));
  t.false([secure, plainA].some(({ core }) => core.calls.some((call) => call.startsWith('open'))));
});

test('what is neither TLS nor a member gets no answer, and is counted', async (t) => {
  const secure = await alone(t, 'a', await (await Authority.new()).credentials('a'));
  const http = await rawClient(t, secure.port, Buffer.from('GET / HTTP/1.1\r\n\r\n'));
  await http.closed;
  await until(() => refusals(secure, 'inbound').some(({ reason }) => /^no handshake of TLS 1\.3 came: http request/.test(reason)), 'the reason', PATIENCE_MS);
  t.is(http.bytes().length, 0);
  const noise = await rawClient(t, secure.port, Buffer.alloc(2_000, 0xff));
  await noise.closed;
  await until(() => secure.peers.counters.read().tlsErrors === 2, 'both to be counted', PATIENCE_MS);
  // Who connects and goes has done nothing wrong.
  const looks = connectTcp(secure.port, HOST);
  await new Promise<void>((resolve) => looks.once('connect', () => resolve()));
  looks.destroy();
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.is(secure.peers.counters.read().tlsErrors, 2);
});

test('an older TLS is refused', async (t) => {
  const authority = await Authority.new();
  const a = await alone(t, 'a', await authority.credentials('a'));
  const { cert, key } = await authority.credentials('b');
  const socket = connect({ host: HOST, port: a.port, cert, key, rejectUnauthorized: false, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' });
  const error = await new Promise<Error>((resolve) => socket.once('error', resolve));
  t.regex(error.message, /protocol version/);
  await until(() => refusals(a, 'inbound').some(({ reason }) => /unsupported protocol/.test(reason)), 'the reason');
});

test.serial('TLS handshakes that stall count among the 64, have no more than their time, and lock no peer out', async (t) => {
  const authority = await Authority.new();
  const timing = { refusedRetryMs: 100, handshakeTimeoutMs: 5_000 };
  const a = await alone(t, 'a', await authority.credentials('a'), { timing });
  const begunAt = performance.now();
  const idle = await Promise.all(Array.from({ length: 3 * HANDSHAKES_MAX }, (_, at) => rawClient(t, a.port, at % 2 === 0 ? undefined : Buffer.from([0x16, 3, 1, 2, 0, 1]))));
  await until(() => a.peers.counters.read().handshakesDisplaced >= 2 * HANDSHAKES_MAX, 'the oldest to make room', PATIENCE_MS);
  t.true(a.peers.counters.read().handshakesNow <= HANDSHAKES_MAX);
  const b = await startMember(t, optionsOf('b', { a: a.port }, { credentials: await authority.credentials('b') }));
  await until(() => isUp(b), 'the links of a peer among them', PATIENCE_MS);
  await Promise.all(idle.map(({ closed }) => closed));
  t.true(performance.now() - begunAt < 30_000);
  await until(() => a.peers.counters.read().handshakesNow === 0, 'no handshake to be left');
  t.true(a.peers.counters.read().handshakeTimeouts > 0);
});

test('a TLS connection that says nothing has no more time than a handshake', async (t) => {
  const authority = await Authority.new();
  const a = await alone(t, 'a', await authority.credentials('a'), { timing: { handshakeTimeoutMs: 500 } });
  const { cert, key } = await authority.credentials('b');
  const socket = connect({ host: HOST, port: a.port, cert, key, rejectUnauthorized: false });
  socket.on('error', () => {});
  socket.resume();
  await new Promise((resolve) => socket.once('close', resolve));
  await until(() => a.peers.counters.read().handshakeTimeouts === 1 && a.peers.counters.read().handshakesNow === 0, 'the end of its time');
  t.pass();
});

test('no session is resumed: a certificate is looked at each time', async (t) => {
  const authority = await Authority.new();
  const a = await alone(t, 'a', await authority.credentials('a'));
  const { cert, key } = await authority.credentials('b');
  const meet = async (session?: Buffer): Promise<{ session: Buffer; reused: boolean; protocol: string | null }> => {
    const socket = connect({ host: HOST, port: a.port, cert, key, rejectUnauthorized: false, ...(session === undefined ? {} : { session }) });
    t.teardown(() => void socket.destroy());
    socket.on('error', () => {});
    socket.write(encodeHello(helloOf('b', 'a')));
    const ticket = await new Promise<Buffer>((resolve) => socket.once('session', resolve));
    return { session: ticket, reused: socket.isSessionReused(), protocol: socket.getProtocol() };
  };
  const first = await meet();
  t.is(first.protocol, 'TLSv1.3');
  t.false((await meet(first.session)).reused);
});

test('who asks at an address whether a member lives has an answer over TLS, and in plain text a refusal that names nobody', async (t) => {
  const authority = await Authority.new();
  const a = await alone(t, 'a', await authority.credentials('a'));
  const { identity, protocol } = optionsOf('b', {});
  const address = { host: HOST, port: a.port };
  const asked = await probePeer(address, 'a', identity, protocol, PATIENCE_MS, await authority.credentials('b'));
  t.like(asked, { kind: 'answer', answer: { nodeId: 'a', accepted: true } });
  t.like(await probePeer(address, 'a', identity, protocol, PATIENCE_MS), { kind: 'answer', answer: { nodeId: '', accepted: false, code: 'CERTIFICATE_REFUSED' } });
  t.is((await probePeer({ host: HOST, port: await freePort() }, 'a', identity, protocol, PATIENCE_MS, await authority.credentials('b'))).kind, 'silent');
});

test('a certificate that names nobody of ours is refused, whoever it says it is', async (t) => {
  const authority = await Authority.new();
  // Of a service mesh with the same authority, say.
  await refusedOnBothSides(t, await authority.credentials('a'), await authority.credentials('b/x'), 'CERTIFICATE_MISMATCH', /^the certificate does not say whose it is; nodes of cluster "test" are asked for$/);
});

test('who answers where a member is looked for and is not believed says nothing of it, and is told nothing', async (t) => {
  const [authority, other] = [await Authority.new(), await Authority.new()];
  const { identity, protocol } = optionsOf('b', {});
  const ours = await authority.credentials('b');
  const ask = async (credentials: Credentials | null, asking: Credentials | null = ours): Promise<string> => {
    const { port, peers } = await startMember(t, optionsOf('a', { b: 1 }, credentials === null ? {} : { credentials }));
    const probed = await probePeer({ host: HOST, port }, 'a', identity, protocol, PATIENCE_MS, asking);
    return `${peers.counters.read().accepted} Hello, ${probed.kind} ${probed.kind === 'answer' ? probed.answer.nodeId : probed.reason}`;
  };
  t.is(await ask(await authority.credentials('a')), '1 Hello, answer a');
  t.regex(await ask(await authority.credentials('c')), /^1 Hello, unclear who calls itself node "a" has the certificate of node "c"$/);
  t.regex(await ask(await authority.credentials('a', { role: 'operator' })), /^0 Hello, unclear certificate .* of operator "a" of cluster "test" was issued for another purpose$/);
  t.regex(await ask(await authority.credentials('a', { clusterId: 'other' })), /^0 Hello, unclear the certificate is that of node "a" of cluster "other"/);
  t.regex(await ask(await authority.credentials('a', { untilMs: -1_000 })), /^0 Hello, unclear certificate .* of node "a" of cluster "test" expired at/);
  t.regex(await ask({ ...(await other.credentials('a')), ca: authority.cert }), /^0 Hello, unclear certificate .* was not issued by an authority that the other side knows/);
  const gone = await authority.credentials('a');
  t.regex(await ask(gone, { ...ours, revoked: [gone.serial] }), /^0 Hello, unclear certificate .* was revoked$/);
  t.regex(await ask(null), /^0 Hello, unclear one side of the connection has security\.tls/);
});

test('security.allowedPeers leaves out members of the cluster, and both sides know', async (t) => {
  const authority = await Authority.new();
  const a = await startMember(t, optionsOf('a', { b: 1, c: await freePort() }, { credentials: await authority.credentials('a'), allowedPeers: ['b'] }));
  const c = await startMember(t, optionsOf('c', { a: a.port }, { credentials: await authority.credentials('c') }));
  const b = await startMember(t, optionsOf('b', { a: a.port }, { credentials: await authority.credentials('b') }));
  await until(() => isUp(b) && refusals(c, 'outbound').length >= 2, 'b up and c refused', PATIENCE_MS);
  t.like(refusals(c, 'outbound')[0], { code: 'PEER_NOT_ALLOWED', reason: refusals(a, 'inbound')[0]?.reason });
  t.regex(refusals(c, 'outbound')[0]?.reason ?? '', /node "c" is not among those that security\.allowedPeers of node "a" names/);
  t.false(a.events.some((event) => event.type === 'unreachable' && event.peer === 'c'), 'it is not dialled either');
});

/** The answer to a Hello of `nodeId` over a bare TLS connection. */
async function askRaw(t: ExecutionContext, port: number, options: ConnectionOptions, nodeId = 'b') {
  const { cert, key } = options;
  const socket = connect({ host: HOST, port, rejectUnauthorized: false, ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }) });
  t.teardown(() => void socket.destroy());
  socket.on('error', () => {});
  socket.write(encodeHello(helloOf(nodeId, 'a')));
  const reader = new HandshakeReader();
  return new Promise<ReturnType<typeof decodeAnswer>>((resolve, reject) => {
    socket.once('close', () => reject(new Error('closed without an answer')));
    socket.on('data', (chunk) => {
      const message = reader.push(chunk);
      if (message !== null) resolve(decodeAnswer(message.body));
    });
  });
}
