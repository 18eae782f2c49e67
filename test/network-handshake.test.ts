import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import type { NetworkEvent } from '../dist/network/events.js';
import { decodeAnswer, decodeHello, encodeAnswer, encodeHello, HandshakeError, HandshakeReader, type Hello } from '../dist/network/hello.js';
import type { RefusalCode } from '../dist/network/verdict.js';
import { directoryOf, freePort, helloOf, HOST, type Member, optionsOf, type RawClient, rawAcceptor, rawClient, startMember, startPair, until } from './fixtures/network.js';

type Refused = Extract<NetworkEvent, { type: 'refused' }>;

function refusals(member: Member, direction: 'inbound' | 'outbound'): Refused[] {
  return member.events.filter((event): event is Refused => event.type === 'refused' && event.direction === direction);
}

/** Waits until the dialler and the acceptor both know the refusal, with one sentence between them that names what it must. */
async function refusedOnBothSides(t: ExecutionContext, dialler: Member, acceptor: Member, code: RefusalCode, named: readonly string[]): Promise<void> {
  await until(() => refusals(dialler, 'outbound').length >= 2 && refusals(acceptor, 'inbound').length >= 2, 'the refusals of both channels');
  const [out] = refusals(dialler, 'outbound');
  const [inn] = refusals(acceptor, 'inbound');
  t.is(out?.code, code);
  t.is(inn?.code, code);
  t.is(out?.reason, inn?.reason);
  for (const name of named) t.true(out?.reason.includes(name), `${out?.reason} names ${name}`);
  t.is(dialler.core.calls.filter((call) => call.startsWith('up')).length, 0);
  t.is(acceptor.core.calls.filter((call) => call.startsWith('open')).length, 0);
  await until(() => dialler.peers.counters.read().refusedOutbound >= 4, 'slow retries');
  t.is(refusals(dialler, 'outbound').length, 2, 'the same reason is reported once a channel');
}

test('CLUSTER_MISMATCH names both clusters', async (t) => {
  const b = await startMember(t, optionsOf('b', { a: await freePort() }));
  const options = optionsOf('a', { b: b.port });
  const a = await startMember(t, { ...options, identity: { ...options.identity, clusterId: 'other' } });
  await refusedOnBothSides(t, a, b, 'CLUSTER_MISMATCH', ['"test"', '"other"', '"a"', '"b"']);
});

test('SETTINGS_MISMATCH names what both have', async (t) => {
  const having = (options: ReturnType<typeof optionsOf>, settings: string) => ({ ...options, identity: { ...options.identity, settings } });
  const b = await startMember(t, having(optionsOf('b', { a: await freePort() }), 'window=1000'));
  const a = await startMember(t, having(optionsOf('a', { b: b.port }), 'window=2000'));
  await refusedOnBothSides(t, a, b, 'SETTINGS_MISMATCH', ['"window=1000"', '"window=2000"']);
});

test('VERSION_UNSUPPORTED names both ranges', async (t) => {
  const b = await startMember(t, optionsOf('b', { a: await freePort() }, { protocol: { min: 3, max: 5 } }));
  const a = await startMember(t, optionsOf('a', { b: b.port }, { protocol: { min: 1, max: 2 } }));
  await refusedOnBothSides(t, a, b, 'VERSION_UNSUPPORTED', ['versions 3 to 5', 'versions 1 to 2']);
});

test('the highest common version is agreed on', async (t) => {
  const b = await startMember(t, optionsOf('b', { a: await freePort() }, { protocol: { min: 1, max: 3 } }));
  const a = await startMember(t, optionsOf('a', { b: b.port }, { protocol: { min: 2, max: 7 } }));
  await until(() => a.events.length === 2, 'both links');
  for (const event of a.events) t.is(event.type === 'up' ? event.protocol : 0, 3);
});

test('NODE_MISMATCH when another member answers', async (t) => {
  const c = await startMember(t, optionsOf('c', { a: await freePort() }));
  const a = await startMember(t, optionsOf('a', { b: c.port }));
  await refusedOnBothSides(t, a, c, 'NODE_MISMATCH', ['"b"', '"c"']);
});

test('NODE_MISMATCH when an address leads back to the node itself', async (t) => {
  const port = await freePort();
  const a = await startMember(t, { ...optionsOf('a', { b: port }), listen: { host: '127.0.0.1', port } });
  await refusedOnBothSides(t, a, a, 'NODE_MISMATCH', ['"b"', 'itself']);
});

test('UNKNOWN_PEER', async (t) => {
  const b = await startMember(t, optionsOf('b', {}));
  const a = await startMember(t, optionsOf('a', { b: b.port }));
  await refusedOnBothSides(t, a, b, 'UNKNOWN_PEER', ['"a"', '"b"']);
});

/** What the application would tell of a table in which these are, at the addresses of raw clients. */
const table = (version: bigint, known: readonly string[] = [], removed: readonly string[] = []) => ({
  members: known.map((nodeId, slot) => ({ slot, nodeId, address: null })),
  removed,
  guests: [],
  table: { version, empty: version === 0n },
});

/** The code of the answer to one Hello, or `accepted`. */
async function answerTo(t: ExecutionContext, a: Member, nodeId: string, changes: Parameters<typeof helloOf>[2] = {}): Promise<{ code: string; client: RawClient }> {
  const client = await rawClient(t, a.port, encodeHello(helloOf(nodeId, 'a', changes)));
  await until(() => client.answer() !== null, 'the answer');
  return { code: client.answer()?.accepted ? 'accepted' : (client.answer()?.code ?? ''), client };
}

test('who waits to be added accepts all of its cluster, until the table comes', async (t) => {
  const a = await startMember(t, optionsOf('a', {}, { table: { version: 0n, empty: true } }));
  t.is((await answerTo(t, a, 'x', { clusterId: 'other' })).code, 'CLUSTER_MISMATCH');
  const [leader, stranger] = [await answerTo(t, a, 'b', { tableVersion: 7n }), await answerTo(t, a, 'x', { tableVersion: 7n })];
  t.deepEqual([leader.code, stranger.code], ['accepted', 'accepted']);
  a.peers.setMembers(table(7n, ['b']));
  await stranger.client.closed;
  t.is((await answerTo(t, a, 'x', { tableVersion: 7n })).code, 'UNKNOWN_PEER');
  t.is(a.core.count('closed b/0'), 0);
});

test('who is unknown is accepted with a newer table alone, unless it was removed', async (t) => {
  const a = await startMember(t, optionsOf('a', {}));
  a.peers.setMembers(table(5n, ['b'], ['gone']));
  for (const [nodeId, tableVersion, code] of [
    ['e', 4n, 'UNKNOWN_PEER'],
    ['e', 5n, 'UNKNOWN_PEER'],
    ['e', 6n, 'accepted'],
    ['gone', 6n, 'MEMBER_REMOVED'],
    ['b', 0n, 'accepted'],
  ] as const) {
    t.is((await answerTo(t, a, nodeId, { tableVersion })).code, code, `${nodeId} ${tableVersion}`);
  }
  // A table as new as what it showed, without it.
  a.peers.setMembers(table(6n, ['b'], ['gone']));
  await until(() => a.core.count('closed e/0') === 1, 'the guest to be dismissed');
  t.is(a.core.count('closed b/0'), 0);
});

test('no more than 64 unknown diallers are accepted at once', async (t) => {
  const a = await startMember(t, optionsOf('a', {}, { table: { version: 0n, empty: true } }));
  for (let at = 0; at < 64; at++) t.is((await answerTo(t, a, `guest${at}`)).code, 'accepted');
  t.is((await answerTo(t, a, 'guest64')).code, 'UNKNOWN_PEER');
  t.is((await answerTo(t, a, 'guest63', { channel: 1 })).code, 'accepted', 'who is connected may come on its other channel');
});

test('a dialler says where it listens and which table it has, as they are when it dials', async (t) => {
  const c = await startMember(t, optionsOf('c', { a: await freePort(), any: await freePort() }));
  const a = await startMember(t, optionsOf('a', { c: c.port }, { table: { version: 3n, empty: false } }));
  const heard = () => c.events.flatMap((event) => (event.type === 'accepted' ? [event.listen] : []));
  await until(() => heard().length === 2, 'the address');
  t.deepEqual(new Set(heard()), new Set([`${HOST}:${a.port}`]));
  const [first] = c.events.filter((event) => event.type === 'accepted');
  t.like(first, { tableVersion: 3n, neighbours: [{ nodeId: 'c', address: `${HOST}:${c.port}` }] });
  await startMember(t, { ...optionsOf('any', { c: c.port }), listen: { host: '0.0.0.0', port: 0 } });
  await until(() => heard().length === 4, 'the other');
  t.deepEqual(heard().slice(2), ['', '']);
});

test('a Hello names as many neighbours as there is room for, the first ones first', async (t) => {
  const c = await startMember(t, optionsOf('c', { a: await freePort() }));
  const a = await startMember(t, optionsOf('a', {}));
  const many = Array.from({ length: 62 }, (_, at) => ({ slot: at + 1, nodeId: `${at}`.padEnd(64, 'x'), address: { host: HOST, port: 1 } }));
  a.peers.setMembers({ ...table(1n), members: [{ slot: 0, nodeId: 'c', address: { host: HOST, port: c.port } }, ...many] });
  await until(() => c.events.some(({ type }) => type === 'accepted'), 'the connection');
  const [told] = c.events.flatMap((event) => (event.type === 'accepted' ? [event.neighbours.map(({ nodeId }) => nodeId)] : []));
  t.true((told?.length ?? 0) > 10);
  t.deepEqual(told, ['c', ...many.map(({ nodeId }) => nodeId)].slice(0, told?.length));
});

test('DUPLICATE_NODE_ID when a second directory uses a connected node id', async (t) => {
  const [a, b] = await startPair(t);
  const second = optionsOf('b', { a: a.port });
  const twin = await startMember(t, { ...second, identity: { ...second.identity, directory: directoryOf('twin'), incarnation: 9n } });
  await until(() => refusals(twin, 'outbound').length === 2, 'the refusals');
  t.deepEqual(new Set(refusals(twin, 'outbound').map(({ code }) => code)), new Set(['DUPLICATE_NODE_ID']));
  t.is(refusals(a, 'inbound')[0]?.reason, refusals(twin, 'outbound')[0]?.reason);
  t.is(a.peers.counters.read().linksUpNow, 2, 'the first one stays');
  t.is(b.peers.counters.read().linksUpNow, 2);
});

/** The same member in the same incarnation; only the life of its process may tell it from another. */
const living = (options: ReturnType<typeof optionsOf>, life: bigint) => ({ ...options, identity: { ...options.identity, life } });

test('DUPLICATE_NODE_ID when a copy of the directory dials; the first one stays', async (t) => {
  const portOfA = await freePort();
  const b = await startMember(t, living(optionsOf('b', { a: portOfA }), 1n));
  const a = await startMember(t, { ...optionsOf('a', { b: b.port }), listen: { host: HOST, port: portOfA } });
  await until(() => a.peers.counters.read().linksUpNow === 2 && a.peers.counters.read().inboundNow === 2, 'the original');
  const copy = await startMember(t, living(optionsOf('b', { a: a.port }), 2n));
  await until(() => refusals(copy, 'outbound').length === 2, 'the refusals');
  t.deepEqual(new Set(refusals(copy, 'outbound').map(({ code }) => code)), new Set(['DUPLICATE_NODE_ID']));
  t.regex(refusals(copy, 'outbound')[0]?.reason ?? '', /node "b" was copied and both copies run/);
  t.is(refusals(a, 'inbound')[0]?.reason, refusals(copy, 'outbound')[0]?.reason);
  t.is(a.core.count('closed b/0') + a.core.count('closed b/1') + a.core.count('down 0/0') + a.core.count('down 0/1'), 0);
});

test('DUPLICATE_NODE_ID when a copy of the directory answers; the first one stays', async (t) => {
  const portOfB = await freePort();
  const a = await startMember(t, optionsOf('a', { b: portOfB }));
  const copy = await startMember(t, living(optionsOf('b', { a: a.port }), 2n));
  await until(() => copy.peers.counters.read().linksUpNow === 2, 'the copy');
  await startMember(t, { ...living(optionsOf('b', { a: a.port }), 1n), listen: { host: HOST, port: portOfB } });
  await until(() => refusals(a, 'outbound').length === 2 && refusals(a, 'inbound').length >= 2, 'the refusals');
  for (const { code, reason } of [...refusals(a, 'outbound'), ...refusals(a, 'inbound')]) {
    t.is(code, 'DUPLICATE_NODE_ID');
    t.regex(reason, /was copied and both copies run/);
  }
  t.is(copy.peers.counters.read().linksUpNow, 2);
});

test('DUPLICATE_NODE_ID when a copy dials its original', async (t) => {
  const a = await startMember(t, living(optionsOf('a', { b: await freePort() }), 1n));
  const copy = await startMember(t, living(optionsOf('a', { b: a.port }), 2n));
  await refusedOnBothSides(t, copy, a, 'DUPLICATE_NODE_ID', ['"a"']);
});

test('the same life and an unknown one replace a connection', async (t) => {
  const a = await startMember(t, optionsOf('a', { b: await freePort() }));
  for (const changes of [{ life: 1n }, { life: 1n }, { life: 0n }, { life: 3n }]) {
    const client = await rawClient(t, a.port, encodeHello(helloOf('b', 'a', changes)));
    await until(() => client.answer() !== null, 'the answer');
    t.true(client.answer()?.accepted, client.answer()?.reason);
  }
  const copy = await rawClient(t, a.port, encodeHello(helloOf('b', 'a', { life: 5n })));
  await until(() => copy.answer() !== null, 'the answer');
  t.is(copy.answer()?.code, 'DUPLICATE_NODE_ID');
});

test('DUPLICATE_NODE_ID when a dialler bears the name of the answering node', async (t) => {
  const a = await startMember(t, optionsOf('a', { b: await freePort() }));
  const options = optionsOf('a', { b: a.port });
  const twin = await startMember(t, { ...options, identity: { ...options.identity, directory: directoryOf('twin') } });
  await refusedOnBothSides(t, twin, a, 'DUPLICATE_NODE_ID', ['"a"']);
});

/** The same member as a later process has it: the directory counts its starts. */
const started = (options: ReturnType<typeof optionsOf>, incarnation: bigint, life: bigint) => ({ ...options, identity: { ...options.identity, incarnation, life } });

/** The answer to a process of `b` that dials, and goes on dialling until it is accepted or `boundMs` are over. */
async function dialled(t: ExecutionContext, a: Member, incarnation: bigint, boundMs = 0): Promise<{ client: RawClient; refusals: number }> {
  const end = performance.now() + boundMs;
  for (let refused = 0; ; refused++) {
    const client = await rawClient(t, a.port, encodeHello(helloOf('b', 'a', { incarnation, life: incarnation })));
    await until(() => client.answer() !== null, 'the answer');
    if (client.answer()?.accepted || performance.now() >= end) return { client, refusals: refused };
    await client.closed;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('DUPLICATE_NODE_ID when a copy was started later than the original, which stays and shows that it is alive once', async (t) => {
  const portOfA = await freePort();
  const b = await startMember(t, started(optionsOf('b', { a: portOfA }), 1n, 1n));
  const a = await startMember(t, { ...optionsOf('a', { b: b.port }), listen: { host: HOST, port: portOfA } });
  const linked = () => a.peers.counters.read().linksUpNow === 2 && a.peers.counters.read().inboundNow === 2;
  await until(linked, 'the original');
  const copy = await startMember(t, started(optionsOf('b', { a: a.port }), 2n, 2n));
  await until(() => copy.peers.counters.read().refusedOutbound >= 10, 'refusals');
  t.deepEqual(new Set(refusals(copy, 'outbound').map(({ code }) => code)), new Set(['DUPLICATE_NODE_ID']));
  t.is(copy.core.count('up 0/0') + copy.core.count('up 0/1'), 0);
  t.regex(refusals(a, 'inbound')[0]?.reason ?? '', new RegExp(`node "b" was copied and both copies run: incarnation 1 at ${HOST}:${b.port} is connected, incarnation 2 at ${HOST} is refused`));
  await until(linked, 'the original to be back');
  t.is(a.core.count('down 0/0') + a.core.count('down 0/1'), 2, 'it is asked once');
  t.is(a.core.count('open b/0') + a.core.count('open b/1'), 4);
  b.core.send([0, 0, Buffer.from('still here')]);
  await until(() => a.core.bytesOf('b/0').toString() === 'still here', 'bytes of the original');
  await copy.peers.close();
  await b.peers.close();
  const next = await dialled(t, a, 3n, 5_000);
  t.true(next.client.answer()?.accepted, 'once the original has ended, another may come');
});

test('DUPLICATE_NODE_ID when an older process answers or dials while a newer one is connected', async (t) => {
  const portOfB = await freePort();
  const a = await startMember(t, optionsOf('a', { b: portOfB }));
  const newer = await startMember(t, started(optionsOf('b', { a: a.port }), 2n, 2n));
  await until(() => newer.peers.counters.read().linksUpNow === 2, 'the newer one');
  const older = await startMember(t, { ...started(optionsOf('b', { a: a.port }), 1n, 1n), listen: { host: HOST, port: portOfB } });
  await until(() => refusals(a, 'outbound').length >= 2 && refusals(older, 'outbound').length >= 2, 'the refusals');
  for (const { code, reason } of [...refusals(a, 'outbound'), ...refusals(a, 'inbound'), ...refusals(older, 'outbound')]) {
    t.is(code, 'DUPLICATE_NODE_ID');
    t.regex(reason, /incarnation 2 at .* is connected, incarnation 1 at .* is refused/);
  }
  t.is(newer.peers.counters.read().linksUpNow, 2);
  t.is(a.core.count('closed b/0') + a.core.count('closed b/1') + a.core.count('up 0/0'), 0);
});

test('DUPLICATE_NODE_ID when a newer process answers while an older one is connected', async (t) => {
  const portOfB = await freePort();
  const a = await startMember(t, optionsOf('a', { b: portOfB }));
  const { client } = await dialled(t, a, 1n);
  t.true(client.answer()?.accepted);
  await startMember(t, { ...started(optionsOf('b', { a: await freePort() }), 2n, 2n), listen: { host: HOST, port: portOfB } });
  await until(() => refusals(a, 'outbound').length === 2, 'the refusals');
  t.deepEqual(refusals(a, 'outbound').map(({ code }) => code), ['DUPLICATE_NODE_ID', 'DUPLICATE_NODE_ID']);
  client.socket.destroy();
  await until(() => a.peers.counters.read().linksUpNow === 2, 'the newer one, now that the older has gone');
});

test('a restarted member is accepted at once where its former connections are closed', async (t) => {
  const a = await startMember(t, optionsOf('a', { b: await freePort() }));
  for (const incarnation of [1n, 2n, 3n]) {
    const { client, refusals: refused } = await dialled(t, a, incarnation);
    t.true(client.answer()?.accepted, client.answer()?.reason);
    t.is(refused, 0);
    // As of a process that ends, and of a machine whose kernel has only begun to close.
    if (incarnation === 1n) client.socket.destroy();
    else client.socket.end();
    await until(() => a.core.count('closed b/0') === Number(incarnation), 'the end to be noticed');
  }
});

test('a restarted member takes the place of a process that is silent, be it dead or paused, within a few tries', async (t) => {
  const a = await startMember(t, optionsOf('a', { b: await freePort() }));
  // A socket that nobody serves, as of a machine without power: it neither closes nor dials again.
  const silent = await dialled(t, a, 1n);
  t.true(silent.client.answer()?.accepted);
  const begunAt = performance.now();
  const { client, refusals: refused } = await dialled(t, a, 2n, 5_000);
  t.true(client.answer()?.accepted, client.answer()?.reason);
  t.true(refused > 0);
  t.true(performance.now() - begunAt < 2_000);
  // The paused one goes on: it is too late.
  const late = await dialled(t, a, 1n);
  t.is(late.client.answer()?.code, 'DUPLICATE_NODE_ID');
});

test('only live connections count', async (t) => {
  const a = await startMember(t, optionsOf('a', { b: await freePort() }));
  const newer = await rawClient(t, a.port, encodeHello(helloOf('b', 'a', { incarnation: 2n ** 64n - 1n })));
  await until(() => newer.answer()?.accepted === true, 'the newer one');
  const older = await rawClient(t, a.port, encodeHello(helloOf('b', 'a', { channel: 1, incarnation: 2n ** 64n - 2n })));
  await older.closed;
  t.is(older.answer()?.code, 'DUPLICATE_NODE_ID');
  t.is(older.answer()?.reason, refusals(a, 'inbound')[0]?.reason);
  newer.socket.destroy();
  await until(() => a.core.count('closed b/0') === 1, 'the newer one to go');
  const again = await rawClient(t, a.port, encodeHello(helloOf('b', 'a', { incarnation: 1n })));
  await until(() => again.answer()?.accepted === true, 'an older one');
});

for (const [what, changes, code] of [
  ['another cluster', { clusterId: 'other' }, 'CLUSTER_MISMATCH'],
  ['another node', { nodeId: 'c' }, 'NODE_MISMATCH'],
  ['a version nobody offered', { protocol: 9 }, 'VERSION_UNSUPPORTED'],
  ['no directory', { directory: new Uint8Array(3) }, 'PROTOCOL_ERROR'],
  ['an unknown refusal', { accepted: false, code: 'NEW_CODE', reason: 'line\u0000 one\n two' }, 'PROTOCOL_ERROR'],
] as const) {
  test(`the dialler itself refuses an answer with ${what}`, async (t) => {
    const b = await rawAcceptor(t, 'b', () => {}, changes);
    const a = await startMember(t, optionsOf('a', { b: b.port }));
    await until(() => refusals(a, 'outbound').length === 2, 'the refusals');
    t.is(refusals(a, 'outbound')[0]?.code, code);
    t.notRegex(refusals(a, 'outbound')[0]?.reason ?? '', /\p{Cc}/u);
    t.is(a.core.calls.length, 1);
  });
}

test('garbage, oversize and malformed Hellos close the connection and leave the node unharmed', async (t) => {
  const [a, b] = await startPair(t);
  const header = (length: number) => Buffer.from([...Buffer.from('VXP1'), length & 255, (length >> 8) & 255, (length >> 16) & 255, 0]);
  const silent = [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from('VXP2'), Buffer.from('V?')];
  const answered = [
    // A member that speaks TLS is told that this one does not.
    Buffer.from([0x16, 0x03, 0x01, 0x02]),
    header(4_097),
    header(0xffffff),
    Buffer.concat([header(5), Buffer.alloc(5, 0xff)]),
    header(0),
    encodeHello(helloOf('b', 'a', { channel: 2 })),
    encodeHello(helloOf('b', 'a', { directory: new Uint8Array(15) })),
    encodeHello(helloOf('', 'a')),
    encodeHello(helloOf('b'.repeat(65), 'a')),
    encodeHello(helloOf('b', 'a', { protocolMin: 2 })),
    encodeHello(helloOf('b', 'a', { clusterId: '' })),
  ];
  for (const bytes of silent) {
    const client = await rawClient(t, a.port, bytes);
    await client.closed;
    t.is(client.bytes().length, 0);
  }
  for (const bytes of answered) {
    const client = await rawClient(t, a.port, bytes);
    await client.closed;
    t.is(client.answer()?.code, 'PROTOCOL_ERROR');
    t.not(client.answer()?.reason, '');
  }
  await until(() => a.peers.counters.read().handshakesNow === 0, 'the connections to be gone');
  const stats = a.peers.counters.read();
  t.is(stats.protocolErrors, silent.length + answered.length);
  t.is(stats.linksUpNow, 2);
  t.is(stats.inboundNow, 2);
  b.core.send([0, 0, Buffer.from('still here')]);
  await until(() => a.core.bytesOf('b/0').toString() === 'still here', 'bytes after the garbage');
});

test('a half Hello that stalls is cut off by the deadline; an ended one at once', async (t) => {
  const a = await startMember(t, optionsOf('a', {}, { timing: { handshakeTimeoutMs: 1_500 } }));
  const hello = encodeHello(helloOf('b', 'a'));
  const stalled = await rawClient(t, a.port, hello.subarray(0, 20));
  const mute = await rawClient(t, a.port);
  const ended = await rawClient(t, a.port, hello.subarray(0, 20));
  ended.socket.end();
  await ended.closed;
  t.is(a.peers.counters.read().protocolErrors, 1);
  t.is(a.peers.counters.read().handshakeTimeouts, 0);
  await Promise.all([stalled.closed, mute.closed]);
  t.is(a.peers.counters.read().handshakeTimeouts, 2);
  t.is(a.peers.counters.read().handshakesNow, 0);
});

test('an acceptor that never answers is given up by the deadline', async (t) => {
  const mute = await rawAcceptor(t, 'b', () => {});
  mute.server.removeAllListeners('connection');
  const a = await startMember(t, optionsOf('a', { b: mute.port }, { timing: { handshakeTimeoutMs: 100 } }));
  await until(() => a.peers.counters.read().handshakeTimeouts >= 4, 'the deadlines');
  t.true(a.events.some((event) => event.type === 'unreachable' && event.reason.includes('100 ms')));
});

test('idle connections cannot lock a peer out', async (t) => {
  const a = await startMember(t, optionsOf('a', { b: await freePort() }));
  const idle = [];
  for (let opened = 0; opened < 70; opened += 1) idle.push(await rawClient(t, a.port));
  const client = await rawClient(t, a.port, encodeHello(helloOf('b', 'a')));
  await until(() => client.answer()?.accepted === true, 'the peer among the idle');
  t.true(a.peers.counters.read().handshakesNow <= 64);
  t.is(a.peers.counters.read().handshakesDisplaced, 7);
});

test('a flood of refusals is counted in full and reported in part', async (t) => {
  const a = await startMember(t, optionsOf('a', {}));
  const clients = [];
  for (let opened = 0; opened < 60; opened += 1) clients.push(await rawClient(t, a.port, Buffer.from('nonsense')));
  await Promise.all(clients.map((client) => client.closed));
  t.is(a.peers.counters.read().protocolErrors, 60);
  t.true(a.events.length >= 16 && a.events.length < 60);
});

test('each side says what it reads besides plain frames, and hears which the other does', async (t) => {
  const own = ['packed.lz4', 'packed.zstd', 'packed.snappy', 'causal.stubs'];
  // Older members say nothing, newer ones more than is known here.
  const said: readonly (readonly [readonly string[], readonly string[]])[] = [
    [[], []],
    [[...own, 'packed.later', 'something else'], ['lz4', 'zstd', 'snappy', 'later', 'stubs']],
  ];
  for (const [features, reads] of said) {
    const hellos: Hello[] = [];
    const far = await rawAcceptor(t, 'b', () => {}, { features, onHello: (hello) => hellos.push(hello) });
    const a = await startMember(t, optionsOf('a', { b: far.port }));
    await until(() => a.core.reads.length === 2, 'both links');
    t.deepEqual(a.core.reads, [reads, reads]);
    t.deepEqual(hellos.map((hello) => hello.features), [own, own]);
  }
  const b = await startMember(t, optionsOf('b', { a: await freePort() }));
  const client = await rawClient(t, b.port, encodeHello(helloOf('a', 'b')));
  await until(() => client.answer() !== null, 'the answer');
  t.deepEqual(client.answer()?.features, own);
});

test('messages survive the wire, whatever the split', (t) => {
  const hello = fc.record({
    clusterId: fc.string({ minLength: 1, maxLength: 40 }),
    nodeId: fc.string({ minLength: 1, maxLength: 16 }),
    protocolMin: fc.integer({ min: 1, max: 9 }),
    protocolMax: fc.integer({ min: 9, max: 0xffffffff }),
    channel: fc.constantFrom(0, 1),
    incarnation: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    directory: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    expectedNodeId: fc.string(),
    features: fc.array(fc.string(), { maxLength: 4 }),
    settings: fc.string({ maxLength: 40 }),
    life: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    listen: fc.string({ maxLength: 40 }),
    tableVersion: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    neighbours: fc.array(fc.record({ nodeId: fc.string({ maxLength: 16 }), address: fc.string({ maxLength: 40 }) }), { maxLength: 7 }),
  });
  fc.assert(
    fc.property(hello, fc.uint8Array(), fc.nat(), (message, tail, at) => {
      const bytes = Buffer.concat([encodeHello(message), tail]);
      const reader = new HandshakeReader();
      const split = at % bytes.length;
      const early = reader.push(bytes.subarray(0, split));
      const read = early ?? reader.push(bytes.subarray(split));
      const rest = early === null ? read?.rest : Buffer.concat([early.rest, bytes.subarray(split)]);
      const decoded = decodeHello(read?.body ?? Buffer.alloc(0));
      t.deepEqual({ ...decoded, directory: new Uint8Array(decoded.directory) }, message);
      t.deepEqual(Buffer.from(rest ?? []), Buffer.from(tail));
    }),
  );
  const answer = { accepted: true, protocol: 1, nodeId: 'b', clusterId: 'c', incarnation: 2n ** 63n, directory: directoryOf('b'), code: '', reason: '', features: ['x'], life: 2n ** 64n - 1n };
  const body = new HandshakeReader().push(encodeAnswer(answer))?.body;
  const decoded = decodeAnswer(body ?? Buffer.alloc(0));
  t.deepEqual({ ...decoded, directory: Buffer.from(decoded.directory) }, { ...answer, directory: Buffer.from(answer.directory) });
});

test('no bytes make the reader or the decoders throw anything but HandshakeError', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (noise, framed) => {
      const frame = Buffer.concat([Buffer.from('VXP1'), Buffer.of(noise.length, 0, 0, 0), noise]);
      try {
        const read = new HandshakeReader().push(framed ? frame : noise);
        if (read !== null) {
          decodeHello(read.body);
          decodeAnswer(read.body);
        }
      } catch (error) {
        t.true(error instanceof HandshakeError);
      }
    }),
    { numRuns: 2_000 },
  );
  t.pass();
});
