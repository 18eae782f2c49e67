/** What no member sends, to a real one: it is closed with a reason that the status counts, memory stays bounded, the others go on. */
import { connect as connectHttp2 } from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { ApiClient, ApiServer } from '../dist/api/index.js';
import { SERVICE_NAME } from '../dist/api/schema.js';
import { type Answer, decodeAnswer, decodeHello, encodeHello, type Hello, HandshakeReader } from '../dist/network/hello.js';
import { HANDSHAKES_MAX } from '../dist/network/options.js';
import { MemoryNode } from './api-memory-node.js';
import { agreed, checkJournals, fileWrite, Plan, type Placed, until, writes } from './helpers/cluster.js';
import { NodeProcess } from './helpers/node-process.js';

const MIB = 1024 * 1024;
const HALF_OPEN = 10_000;
const LENGTH_BYTES = 4;
const HEADER_BYTES = 16;

/** What a dialler sent on one connection. */
interface Captured {
  readonly hello: Hello;
  /** Behind its Hello. */
  readonly frames: Buffer;
}

/** On the way to a port: keeps what the diallers send. */
class Tap {
  readonly #sent: Buffer[][] = [];

  async to(t: ExecutionContext, port: number): Promise<number> {
    const server = createServer((near) => {
      const far = connect({ port, host: '127.0.0.1' });
      const sent: Buffer[] = [];
      this.#sent.push(sent);
      for (const [from, into] of [[near, far], [far, near]] as const) {
        from.on('error', () => {}).once('close', () => into.destroy());
        from.pipe(into);
      }
      near.on('data', (chunk: Buffer) => sent.push(chunk));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => server.close());
    return (server.address() as { port: number }).port;
  }

  /** Of the longest connection on a channel. */
  captured(channel: number): Captured {
    const all = this.#sent.flatMap((sent) => {
      const message = new HandshakeReader().push(Buffer.concat(sent));
      return message === null ? [] : [{ hello: decodeHello(message.body), frames: Buffer.from(message.rest) }];
    });
    const [longest] = all.filter(({ hello }) => hello.channel === channel).sort((one, other) => other.frames.length - one.frames.length);
    if (longest === undefined) throw new Error(`nothing was sent on channel ${channel}`);
    return longest;
  }
}

/** Places where frames begin. */
function beginnings(frames: Buffer): number[] {
  const places: number[] = [];
  for (let at = 0; at + HEADER_BYTES <= frames.length && at + frames.readUInt32LE(at) <= frames.length; at += frames.readUInt32LE(at)) places.push(at);
  return places;
}

/** A connection of somebody who says `hello`, once it was answered. */
async function speak(t: ExecutionContext, port: number, hello: Hello): Promise<{ socket: Socket; answer: Answer; closed: Promise<void> }> {
  const socket = connect(port, '127.0.0.1');
  t.teardown(() => void socket.destroy());
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const reader = new HandshakeReader();
  const answered = new Promise<Answer>((resolve, reject) => {
    socket.once('close', () => reject(new Error('closed without an answer')));
    socket.on('data', (chunk: Buffer) => {
      const message = reader.push(chunk);
      if (message !== null) resolve(decodeAnswer(message.body));
    });
  });
  socket.write(encodeHello(hello));
  return { socket, answer: await answered, closed };
}

const memory = (member: NodeProcess): Promise<number> => member.call('memory') as Promise<number>;
const counter = async (member: NodeProcess, name: string): Promise<number> => Number((await member.status()).counters[name]);

test('frames that were captured, replayed, cut, flipped or sent by somebody else, harm nobody', async (t) => {
  const plan = await Plan.of(t, {}, ['a', 'b', 'c'], ['other']);
  const portOfA = plan.ports.get('a') ?? 0;
  const taps = { b: new Tap(), c: new Tap() };
  const [portOfB, portOfC] = [await taps.b.to(t, portOfA), await taps.c.to(t, portOfA)];
  const through = { a: portOfA, b: portOfB, c: portOfC } as Record<string, number>;
  const [a, b, c] = plan.ids.map((id) => {
    const config = plan.config(id);
    return new NodeProcess(id, { ...config, peers: { ...config.peers, ...(id === 'a' ? {} : { a: `127.0.0.1:${through[id]}` }) } });
  }) as [NodeProcess, NodeProcess, NodeProcess];
  t.teardown(() => Promise.all([a, b, c].map((member) => member.kill())));
  await Promise.all([a, b, c].map((member) => member.start()));
  const settled = (members: readonly NodeProcess[]) => until('one leader', async () => agreed(await Promise.all(members.map((member) => member.status()))) !== null);
  await settled([a, b, c]);
  const acknowledged: Placed[] = [];
  const publish = async (...members: readonly NodeProcess[]): Promise<void> => {
    for (const member of members) for (const event of writes(5, `/${member.id}/${acknowledged.length}`, 300)) acknowledged.push(await member.publish(event));
  };
  await publish(a, b, c);
  for (const member of [b, c]) await member.publish(fileWrite('/lane'), { consistency: 'causal' });
  await publish(a);
  // How much a member sends, and on which connection, depends on who leads.
  const isEnough = (): boolean => taps.c.captured(0).frames.length > 1_000 && taps.c.captured(1).frames.length > 100 && taps.b.captured(0).frames.length > 1_000;
  await until('enough to be captured', async () => {
    for (const member of [b, c]) await member.publish(fileWrite('/lane'), { consistency: 'causal' });
    await publish(b, c);
    return isEnough();
  });
  await c.kill();
  await settled([a, b]);
  await publish(a, b);
  const [urgent, bulk] = [taps.c.captured(0), taps.c.captured(1)];
  const foreign = taps.b.captured(0);
  const before = await memory(a);

  /** As c: these bytes, then the end. Answers how many errors of each kind were counted for it. */
  const send = async (hello: Hello, bytes: Uint8Array): Promise<{ errors: number; refused: number }> => {
    const [errors, refused] = [await counter(a, 'network.protocolErrors'), await counter(a, 'refusedFrames')];
    const { socket, answer, closed } = await speak(t, portOfA, hello);
    t.true(answer.accepted, answer.reason);
    socket.end(bytes);
    await closed;
    await until('the connection to be gone', async () => (await counter(a, 'network.inboundNow')) === 2);
    return { errors: (await counter(a, 'network.protocolErrors')) - errors, refused: (await counter(a, 'refusedFrames')) - refused };
  };

  // As they were, once more and twice: frames of a process that is no more.
  for (const { hello, frames } of [urgent, bulk, urgent]) t.is((await send(hello, frames)).errors, 0);
  // On the channel that they are not of.
  t.is((await send(urgent.hello, bulk.frames)).errors, 0);
  // Cut: the rest never comes.
  for (const at of [1, 15, 17, Math.floor(urgent.frames.length / 2), urgent.frames.length - 1]) t.is((await send(urgent.hello, urgent.frames.subarray(0, at))).errors, 0);
  // A bit is another one: anywhere but in a length it shows at once.
  const begins = beginnings(urgent.frames);
  for (let strike = 0; strike < 40; strike++) {
    const at = Math.floor((strike * urgent.frames.length) / 40);
    const flipped = Buffer.from(urgent.frames);
    flipped[at] = flipped[at]! ^ (1 << (strike % 8));
    const ofLength = begins.some((begin) => at >= begin && at < begin + LENGTH_BYTES);
    const { errors } = await send(urgent.hello, flipped);
    if (!ofLength) t.is(errors, 1, `bit ${strike % 8} of byte ${at}`);
  }
  // What another member has sent: its checksums are right, who is said to speak is not.
  const { errors, refused } = await send(urgent.hello, foreign.frames);
  t.deepEqual([errors, refused > 0], [0, true]);
  // No frames of ours at all, and frames of lengths that none has.
  const headers = [Buffer.alloc(HEADER_BYTES), Buffer.alloc(HEADER_BYTES)];
  headers[0]?.writeUInt32LE(0xffff_ffff, 0);
  headers[1]?.writeUInt32LE(15, 0);
  for (const bytes of [Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n'), encodeHello(urgent.hello), ...headers]) t.is((await send(bulk.hello, bytes)).errors, 1);
  // The longest frame that is taken, a byte short of its end, and whole but not what its checksum says.
  const longest = Buffer.alloc(16 * MIB);
  longest.writeUInt32LE(longest.length, 0);
  t.is((await send(bulk.hello, longest.subarray(0, -1))).errors, 0);
  t.is((await send(bulk.hello, longest)).errors, 1);
  const grown = (await memory(a)) - before;
  t.log(`a has grown by ${Math.round(grown / MIB)} MiB`);
  t.true(grown < 96 * MIB, `${grown} bytes more`);

  // In another cluster it ends with the Hello.
  const other = new NodeProcess('a', { ...plan.config('a'), clusterId: 'other', dataDir: plan.dataDir('other'), listen: plan.address('other') });
  t.teardown(() => other.kill());
  await other.start();
  const { answer, closed } = await speak(t, plan.ports.get('other') ?? 0, urgent.hello);
  await closed;
  t.deepEqual([answer.accepted, answer.code, await counter(other, 'network.refusedInbound')], [false, 'CLUSTER_MISMATCH', 1]);

  // Nobody was harmed: those who are there go on, and who was played comes back to the same journal.
  for (const member of [a, b]) t.is(await member.failure(), null);
  await publish(a, b);
  await c.start();
  await settled([a, b, c]);
  await publish(a, b, c);
  await until('equal members', async () => new Set((await Promise.all([a, b, c].map((member) => member.status()))).map(({ appliedIndex, applyHash }) => `${appliedIndex} ${applyHash}`)).size === 1);
  checkJournals(t, await Promise.all([a, b, c].map((member) => member.journal())), acknowledged);
});

test(`${HALF_OPEN} connections that never say who they are cost a member no memory to speak of, and keep no peer out`, async (t) => {
  const plan = await Plan.of(t, {}, ['a', 'b']);
  const [a, b] = plan.ids.map((id) => new NodeProcess(id, plan.config(id))) as [NodeProcess, NodeProcess];
  t.teardown(() => Promise.all([a, b].map((member) => member.kill())));
  await Promise.all([a, b].map((member) => member.start()));
  await until('one leader', async () => agreed(await Promise.all([a, b].map((member) => member.status()))) !== null);
  await a.publish(fileWrite('/before'));
  const before = await memory(a);
  const sockets: Socket[] = [];
  t.teardown(() => sockets.forEach((socket) => void socket.destroy()));
  let failed: string | null = null;
  while (sockets.length < HALF_OPEN && failed === null) {
    const some = Array.from({ length: 100 }, () => connect(plan.ports.get('a') ?? 0, '127.0.0.1').resume());
    sockets.push(...some);
    await Promise.all(
      some.map(
        (socket, at) =>
          new Promise<void>((resolve) => {
            socket.on('error', (error: NodeJS.ErrnoException) => {
              if (error.code === 'EMFILE') failed = error.code;
              resolve();
            });
            socket.once('connect', () => {
              // Nothing, or half of what it takes.
              if (at % 2 === 0) socket.write('VXP1');
              resolve();
            });
          }),
      ),
    );
    if (sockets.length === HALF_OPEN / 2) await a.publish(fileWrite('/meanwhile'));
  }
  if (failed !== null) {
    t.pass(`${HALF_OPEN} connections are more than this process may have open (ulimit -n)`);
    return;
  }
  await until('the oldest to make room', () => sockets.filter(({ closed }) => !closed).length <= HANDSHAKES_MAX);
  const displaced = await counter(a, 'network.handshakesDisplaced');
  t.log(`${displaced} were displaced, ${await counter(a, 'network.handshakeTimeouts')} ran out of time`);
  // Those that the system never handed over are none of its own.
  t.true(displaced > HALF_OPEN / 2 && (await counter(a, 'network.handshakesNow')) <= HANDSHAKES_MAX);
  const grown = (await memory(a)) - before;
  t.log(`a has grown by ${Math.round(grown / MIB)} MiB`);
  t.true(grown < 128 * MIB, `${grown} bytes more`);
  // A peer gets in among them, and what was linked has stayed so.
  await b.kill();
  await b.start();
  await until('b to be back', async () => (await counter(a, 'network.inboundNow')) === 2 && agreed(await Promise.all([a, b].map((member) => member.status()))) !== null);
  await b.publish(fileWrite('/after'));
  // Their time is up.
  await until('the last of them to go', async () => (await counter(a, 'network.handshakesNow')) === 0);
});

test('a Hello that comes byte by byte has no more time than one that does not come', async (t) => {
  const plan = await Plan.of(t, {}, ['a', 'b']);
  const a = new NodeProcess('a', plan.config('a'));
  t.teardown(() => a.kill());
  await a.start();
  const hello: Hello = { clusterId: 'test', nodeId: 'b', protocolMin: 1, protocolMax: 1, channel: 0, incarnation: 1n, directory: Buffer.alloc(16, 7), expectedNodeId: 'a', features: [], settings: '', life: 0n, listen: '', tableVersion: 0n, neighbours: [] };
  const socket = connect(plan.ports.get('a') ?? 0, '127.0.0.1');
  t.teardown(() => void socket.destroy());
  socket.on('error', () => {}).resume();
  const bytes = encodeHello({ ...hello, settings: 'x'.repeat(2_000) });
  let at = 0;
  const drip = setInterval(() => socket.write(bytes.subarray(at, ++at)), 20);
  t.teardown(() => clearInterval(drip));
  await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  t.true(at < bytes.length);
  t.is(await counter(a, 'network.handshakeTimeouts'), 1);
});

test('headers that are longer than any call has end their stream, and no other', async (t) => {
  const server = await ApiServer.start(new MemoryNode(), { address: '127.0.0.1:0' });
  t.teardown(() => server.close());
  const client = new ApiClient(server.address);
  t.teardown(() => client.close());
  await client.status();
  const before = process.memoryUsage().rss;
  for (const big of [100_000, MIB]) {
    for (let times = 0; times < 20; times++) {
      const session = connectHttp2(`http://${server.address}`, { maxSendHeaderBlockLength: 2 * MIB });
      session.on('error', () => {});
      const ended = await new Promise<string>((resolve) => {
        session.once('close', () => resolve('closed'));
        const call = session.request({ ':method': 'POST', ':path': `/${SERVICE_NAME}/Status`, 'content-type': 'application/grpc', te: 'trailers', 'x-big': 'x'.repeat(big) });
        call.on('error', () => {});
        call.once('response', (headers) => resolve(String(headers[':status'])));
        call.once('close', () => resolve('closed'));
        call.end(Buffer.alloc(5));
      });
      t.not(ended, '200', `${big} bytes of a header`);
      session.destroy();
    }
  }
  t.true(process.memoryUsage().rss - before < 96 * MIB);
  await client.status();
});
