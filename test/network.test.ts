import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import test from 'ava';
import { CoordinatorError } from '../dist/errors/index.js';
import type { Channel } from '../dist/network/port.js';
import { encodeHello, freePort, helloOf, HOST, optionsOf, rawAcceptor, rawClient, startMember, startPair, until } from './fixtures/network.js';

test('two members link on both channels, and bytes arrive in order and equal', async (t) => {
  const [a, b] = await startPair(t);
  const sent: Record<Channel, Buffer[]> = { 0: [], 1: [] };
  for (let round = 0; round < 200; round += 1) {
    const runs: [number, Channel, Buffer][] = [];
    // One run a link, several runs a link, and large ones that no socket takes at once.
    for (let run = 0; run <= round % 4; run += 1) {
      for (const channel of [0, 1] as const) {
        const bytes = randomBytes(round % 50 === 0 ? 300_000 : 1 + (round % 97));
        sent[channel].push(bytes);
        runs.push([0, channel, bytes]);
      }
    }
    a.core.send(...runs);
    if (round % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  b.core.send([0, 0, Buffer.from('the other way')]);
  for (const channel of [0, 1] as const) {
    const expected = Buffer.concat(sent[channel]);
    await until(() => b.core.bytesOf(`a/${channel}`).length >= expected.length, `the bytes of channel ${channel}`);
    t.true(expected.equals(b.core.bytesOf(`a/${channel}`)));
  }
  await until(() => a.core.bytesOf('b/0').toString() === 'the other way', 'the answer');
  t.is(a.peers.counters.read().linksUpNow, 2);
  t.is(a.peers.counters.read().inboundNow, 2);
  t.is(a.peers.counters.read().overflows, 0);
});

test('bytes for a link that is down or unknown are dropped and counted', async (t) => {
  const a = await startMember(t, optionsOf('a', { b: await freePort() }));
  a.core.send([0, 0, Buffer.alloc(10)], [7, 1, Buffer.alloc(5)]);
  t.is(a.peers.counters.read().bytesDropped, 15);
  await until(() => a.events.some((event) => event.type === 'unreachable'), 'the report of the failed dial');
  await until(() => a.peers.counters.read().dialsFailed >= 6, 'more dials');
  t.is(a.events.length, 2, 'each channel reports its outage once');
});

test('bytes that follow the Hello in its chunk reach the core after the acceptance', async (t) => {
  const a = await startMember(t, optionsOf('a', { b: await freePort() }));
  const client = await rawClient(t, a.port, Buffer.concat([encodeHello(helloOf('b', 'a')), Buffer.from('early')]));
  await until(() => a.core.bytesOf('b/0').toString() === 'early', 'the early bytes');
  await until(() => client.answer() !== null, 'the answer');
  t.true(client.answer()?.accepted);
  t.deepEqual(a.core.calls, ['attach', 'open b/0']);
});

test('a Hello in single bytes is accepted', async (t) => {
  const a = await startMember(t, optionsOf('a', { b: await freePort() }));
  const client = await rawClient(t, a.port);
  client.socket.setNoDelay(true);
  for (const byte of encodeHello(helloOf('b', 'a'))) {
    client.socket.write(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => client.answer()?.accepted === true, 'the acceptance');
  t.is(a.core.count('open b/0'), 1);
});

test('what the core rejects closes the connection, and the peer dials again', async (t) => {
  const [a, b] = await startPair(t);
  b.core.violation = 3;
  a.core.send([0, 1, Buffer.from('broken frame')]);
  await until(() => b.core.count('closed a/1') === 1, 'the close');
  b.core.violation = 0;
  await until(() => a.core.count('up 0/1') === 2, 'the new link');
  t.is(a.core.count('down 0/1'), 1);
  t.is(a.core.count('down 0/0'), 0, 'the other channel stays up');
  t.true(b.events.some((event) => event.type === 'closed' && event.reason.includes('violation 3')));
});

test('a slow reader blocks the link; reading on drains it', async (t) => {
  const sockets: Socket[] = [];
  const b = await rawAcceptor(t, 'b', (socket) => {
    socket.pause();
    sockets.push(socket);
  });
  const a = await startMember(t, optionsOf('a', { b: b.port }, { peerBytesMax: 64 * 1024 * 1024 }));
  await until(() => a.core.count('up 0/0') + a.core.count('up 0/1') === 2, 'both links');
  for (let sent = 0; a.core.count('blocked 0/1') === 0 && sent < 40; sent += 1) {
    a.core.send([0, 1, Buffer.alloc(512 * 1024)]);
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.is(a.core.count('blocked 0/1'), 1);
  t.is(a.core.count('blocked 0/0'), 0);
  t.true((a.core.waiting[0] ?? 0) > 0);
  t.is(a.core.count('drained 0/1'), 0);
  for (const socket of sockets) socket.resume();
  await until(() => a.core.count('drained 0/1') === 1, 'the drain');
  t.is(a.core.count('down 0/1'), 0);
});

test('a core that does not hold loses the connection instead of filling memory', async (t) => {
  const b = await rawAcceptor(t, 'b', (socket) => void socket.pause());
  const peerBytesMax = 1024 * 1024;
  const a = await startMember(t, optionsOf('a', { b: b.port }, { peerBytesMax }));
  await until(() => a.core.count('up 0/1') === 1, 'the link');
  for (let sent = 0; a.core.count('down 0/1') === 0 && sent < 100; sent += 1) {
    a.core.send([0, 1, Buffer.alloc(256 * 1024)]);
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.is(a.core.count('down 0/1'), 1);
  t.is(a.peers.counters.read().overflows, 1);
  await until(() => a.core.count('up 0/1') === 2, 'the next connection');
});

test('an acceptor that sends on our connection is cut off', async (t) => {
  let first = true;
  const b = await rawAcceptor(t, 'b', (socket) => {
    if (first) setTimeout(() => socket.write('not your turn'), 20);
    first = false;
  });
  const a = await startMember(t, optionsOf('a', { b: b.port }));
  await until(() => a.events.some((event) => event.type === 'down' && event.reason.includes('only we send')), 'the cut');
  t.is(a.peers.counters.read().protocolErrors, 1);
  await until(() => a.peers.counters.read().linksUpNow === 2, 'the next link');
});

test('a peer that restarts on its port is linked again, its new incarnation accepted', async (t) => {
  // Longer than is waited here: it is the accepted dial that wakes the waiting ones.
  const timing = { refusedRetryMs: 100, backoffMinMs: 60_000, backoffMaxMs: 60_000 };
  const [a, b] = await startPair(t, { timing });
  await b.peers.close();
  await until(() => a.core.count('down 0/0') === 1 && a.core.count('down 0/1') === 1, 'the links to fall');
  await until(() => a.core.count('closed b/0') === 1 && a.core.count('closed b/1') === 1, 'the accepted connections to close');
  t.is(b.core.calls.at(-1), 'detach');
  const options = optionsOf('b', { a: a.port }, { listen: { host: HOST, port: b.port }, timing });
  const again = await startMember(t, { ...options, identity: { ...options.identity, incarnation: 2n } });
  await until(() => a.core.count('up 0/0') === 2 && a.core.count('up 0/1') === 2, 'the links to b', 20_000);
  again.core.send([0, 0, Buffer.from('back')]);
  a.core.send([0, 0, Buffer.from('welcome')]);
  await until(() => a.core.bytesOf('b/0').toString() === 'back', 'bytes from b');
  await until(() => again.core.bytesOf('a/0').toString() === 'welcome', 'bytes to b');
});

test('a newer incarnation has every connection of the older one closed, and replaces them unless it is back in time', async (t) => {
  const a = await startMember(t, optionsOf('a', { b: await freePort() }));
  const urgent = await rawClient(t, a.port, encodeHello(helloOf('b', 'a')));
  const bulk = await rawClient(t, a.port, encodeHello(helloOf('b', 'a', { channel: 1 })));
  await until(() => urgent.answer()?.accepted === true && bulk.answer()?.accepted === true, 'both channels');
  const early = await rawClient(t, a.port, encodeHello(helloOf('b', 'a', { incarnation: 2n })));
  await Promise.all([urgent.closed, bulk.closed, early.closed]);
  t.is(early.answer()?.code, 'DUPLICATE_NODE_ID');
  await new Promise((resolve) => setTimeout(resolve, 250));
  const newer = await rawClient(t, a.port, encodeHello(helloOf('b', 'a', { incarnation: 2n })));
  await until(() => newer.answer()?.accepted === true, 'the newer one');
  t.deepEqual(a.core.calls.slice(0, 3).concat(a.core.calls.slice(3, 5).sort(), a.core.calls.slice(5)), [
    'attach',
    'open b/0',
    'open b/1',
    'closed b/0',
    'closed b/1',
    'open b/0',
  ]);
  const same = await rawClient(t, a.port, encodeHello(helloOf('b', 'a', { incarnation: 2n })));
  await newer.closed;
  await until(() => same.answer()?.accepted === true, 'an equal incarnation takes its own place');
});

test('a link to a former process of a peer is dialled anew when its successor dials', async (t) => {
  const old = await rawAcceptor(t, 'b', () => {});
  const a = await startMember(t, optionsOf('a', { b: old.port }));
  await until(() => a.peers.counters.read().linksUpNow === 2, 'links to the former process');
  await rawClient(t, a.port, encodeHello(helloOf('b', 'a', { incarnation: 2n })));
  await until(() => a.core.count('down 0/0') === 1 && a.core.count('down 0/1') === 1, 'both to fall');
  t.true(a.events.some((event) => event.type === 'down' && event.reason.includes('to show that it is alive')));
  await until(() => a.peers.counters.read().linksUpNow === 2, 'the former process, which is alive');
});

test('close is idempotent, also before the start and with connections at every stage', async (t) => {
  const [a, b] = await startPair(t);
  await rawClient(t, a.port, Buffer.from('VXP'));
  await until(() => a.peers.counters.read().handshakesNow === 1, 'the half handshake');
  await Promise.all([a.peers.close(), a.peers.close()]);
  await a.peers.close();
  t.is(a.core.count('detach'), 1);
  t.is(a.core.calls.at(-1), 'detach', 'nothing is told to a core that was left');
  const { linksUpNow, inboundNow, handshakesNow } = a.peers.counters.read();
  t.deepEqual([linksUpNow, inboundNow, handshakesNow], [0, 0, 0]);
  await until(() => b.core.count('down 0/0') === 1, 'the peer to notice');
});

test('a port that is taken is PORT_IN_USE', async (t) => {
  const a = await startMember(t, optionsOf('a', {}));
  const error = await t.throwsAsync(startMember(t, optionsOf('b', {}, { listen: { host: HOST, port: a.port } })), {
    instanceOf: CoordinatorError,
  });
  t.is((error as CoordinatorError).code, 'PORT_IN_USE');
  t.true(error?.message.includes(String(a.port)));
});

test('options that cannot work are refused together', async (t) => {
  const error = await t.throwsAsync(
    startMember(t, { ...optionsOf('a', { a: 1 }), protocol: { min: 2, max: 1 }, peerBytesMax: 0 }),
    { instanceOf: CoordinatorError },
  );
  t.is((error as CoordinatorError).code, 'CONFIG_INVALID');
  t.like((error as CoordinatorError).details, { mistakes: { length: 3 } });
});
