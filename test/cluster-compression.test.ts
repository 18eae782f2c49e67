/** What members send each other, packed: by what is configured, by what the line is like, and by what the other side reads. */
import { connect, createServer, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { Coordinator, type CoordinatorConfig, type EventInput } from '../dist/index.js';
import { compress } from '../dist/native/index.js';
import { encodeHello, HandshakeReader } from '../dist/network/hello.js';
import { checkJournals, Embedded, journalOf, Plan, startWhenFree, take, until } from './helpers/cluster.js';

const KIB = 1024;
const PACKED = 29;

type Compression = NonNullable<NonNullable<CoordinatorConfig['network']>['compression']>;

/** Contents that get shorter. */
const textual = (count: number, bytes: number): EventInput[] =>
  Array.from({ length: count }, (_, at) => ({ type: 'FilesystemWrite', path: `/documents/file-${at}`, payload: Buffer.from(`${at} the quick brown fox `.repeat(Math.ceil(bytes / 20)).slice(0, bytes)) }));

const counter = (node: Coordinator, name: string): number => Number(node.status().counters[name]);

/** Members of which each has a compression of its own. */
async function start(t: ExecutionContext, compressions: Record<string, Compression>): Promise<Embedded> {
  const plan = await Plan.of(t, {}, Object.keys(compressions));
  const cluster = new Embedded(plan);
  t.teardown(() => cluster.close(...cluster.nodes.keys()));
  await Promise.all(
    Object.entries(compressions).map(([id, compression]) =>
      startWhenFree(async () => {
        cluster.nodes.set(id, await Coordinator.start({ ...plan.config(id), network: { compression } }));
      }),
    ),
  );
  await cluster.leader();
  return cluster;
}

test('members with different compressions read each other, and count what it saves', async (t) => {
  const cluster = await start(t, { a: 'lz4', b: 'zstd', c: 'snappy', d: 'none' });
  const receipts = [];
  // Each of them hands in, so that each sends: to the leader, or as the leader.
  for (const node of cluster.nodes.values()) receipts.push(...(await node.publishBatch(textual(200, 2 * KIB))));
  for (const id of ['a', 'b', 'c', 'd']) await cluster.get(id).publishBatch(textual(50, 2 * KIB), { consistency: 'causal' });
  await cluster.equal();
  for (const [id, node] of cluster.nodes) {
    const [raw, packed] = [counter(node, 'compression.sentRawBytes'), counter(node, 'compression.sentPackedBytes')];
    if (id === 'd') t.is(raw, 0);
    else t.true(raw > 100 * KIB && packed > 0 && packed < raw / 4, `${id}: ${packed} of ${raw}`);
    t.true(counter(node, 'compression.receivedPackedBytes') > 0);
    t.is(counter(node, 'network.protocolErrors'), 0);
  }
  const journals = await Promise.all([...cluster.nodes.values()].map(journalOf));
  checkJournals(t, journals, receipts);
  const delivered = await take(cluster.get('d'), 3);
  t.is(Buffer.from(delivered[2]!.event.payload).toString('latin1', 0, 23), '2 the quick brown fox 2');
});

/** Between one member and the others: takes so many bytes a second of what the member sends, once it is slow. */
class SlowLine {
  readonly #sockets = new Set<Socket>();
  bytesPerSecond = Number.POSITIVE_INFINITY;

  /** The port at which the line begins that ends at `port`. */
  async to(t: ExecutionContext, port: number): Promise<number> {
    const server = createServer({ highWaterMark: 64 * KIB }, (near) => {
      const far = connect({ port, host: '127.0.0.1' });
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.once('close', () => {
          near.destroy();
          far.destroy();
        });
      }
      far.on('data', (chunk) => near.write(chunk));
      near.on('data', (chunk) => {
        const restMs = (chunk.length * 1000) / this.bytesPerSecond;
        far.write(chunk);
        near.pause();
        setTimeout(() => near.resume(), restMs);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => {
      for (const socket of this.#sockets) socket.destroy();
      server.close();
    });
    return (server.address() as { port: number }).port;
  }
}

test('on a slow line frames are packed without being asked for, and all of them arrive', async (t) => {
  const plan = await Plan.of(t);
  const line = new SlowLine();
  const [leader, ...others] = plan.ids as [string, ...string[]];
  const slow = await line.to(t, plan.ports.get('c') ?? 0);
  const cluster = new Embedded(plan);
  t.teardown(() => cluster.close(...cluster.nodes.keys()));
  for (const id of [leader, ...others]) {
    const config = plan.config(id);
    const peers = id === 'a' ? { ...config.peers, c: `127.0.0.1:${slow}` } : config.peers;
    await startWhenFree(async () => {
      cluster.nodes.set(id, await Coordinator.start({ ...config, ...(peers === undefined ? {} : { peers }) }));
    });
  }
  await cluster.leader();
  const node = cluster.get('a');
  await node.members.transferLeadership('a').catch(() => {});
  await until('a to lead', () => node.status().role === 'leader');
  line.bytesPerSecond = 8 * KIB * KIB;
  const receipts = [];
  // More than the kernels on the way keep for a line that does not go on.
  for (let batch = 0; batch < 40; batch++) receipts.push(...(await node.publishBatch(textual(16, 64 * KIB))));
  await cluster.equal();
  const [raw, packed] = [counter(node, 'compression.sentRawBytes'), counter(node, 'compression.sentPackedBytes')];
  t.log(`${raw} bytes left as ${packed}`);
  t.true(raw > 0 && packed < raw / 3, `${packed} of ${raw}`);
  checkJournals(t, await Promise.all([...cluster.nodes.values()].map(journalOf)), receipts);
});

/** A packed frame around anything. */
function packedFrame(codec: number, rawBytes: number, content: Buffer): Buffer {
  const frame = Buffer.alloc(24 + content.length);
  frame.writeUInt32LE(frame.length, 0);
  frame.writeUInt8(PACKED, 8);
  frame.writeUInt8(codec, 9);
  frame.writeUInt32LE(rawBytes, 16);
  frame.writeUInt32LE(content.length, 20);
  content.copy(frame, 24);
  frame.writeUInt32LE(crc32c(frame.subarray(8)), 4);
  return frame;
}

function crc32c(bytes: Buffer): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}

test('bombs and damaged packed frames close their connection, counted, and nothing else', async (t) => {
  const plan = await Plan.of(t, {}, ['a', 'b']);
  const cluster = new Embedded(plan);
  t.teardown(() => cluster.close(...cluster.nodes.keys()));
  // b is played by this test.
  await cluster.open('a');
  const node = cluster.get('a');
  const zeros = Buffer.alloc(64 * KIB * KIB);
  const small = compress('lz4', Buffer.alloc(1_000));
  const bad: readonly [what: string, bytes: Buffer, ofPacking: boolean][] = [
    ['a bomb', packedFrame(2, zeros.length, compress('zstd', zeros)), true],
    ['a bomb that lies', packedFrame(2, 100_000, compress('zstd', zeros)), true],
    ['content that is no frames', packedFrame(1, 1_000, small), false],
    ['damage', packedFrame(1, 1_000, Buffer.alloc(30, 1)), true],
    ['an unknown compression', packedFrame(9, 1_000, small), true],
  ];
  const rss = process.memoryUsage().rss;
  let ofPackings = 0;
  for (const [at, [what, bytes, ofPacking]] of bad.entries()) {
    const socket = connect(plan.ports.get('a') ?? 0, '127.0.0.1');
    t.teardown(() => void socket.destroy());
    socket.on('error', () => {});
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const reader = new HandshakeReader();
    const answered = new Promise<void>((resolve) => socket.on('data', (chunk) => reader.push(chunk) !== null && resolve()));
    socket.write(encodeHello({ clusterId: 'test', nodeId: 'b', protocolMin: 1, protocolMax: 1, channel: 1, incarnation: 1n, directory: Buffer.alloc(16, 7), expectedNodeId: 'a', features: [], settings: '', life: 0n, listen: '', tableVersion: 0n, neighbours: [] }));
    await answered;
    socket.write(bytes);
    await closed;
    ofPackings += ofPacking ? 1 : 0;
    t.is(counter(node, 'network.compressionErrors'), ofPackings, what);
    t.is(counter(node, 'network.protocolErrors'), at + 1);
    t.is(counter(node, 'refusedFrames'), at + 1);
  }
  t.true(process.memoryUsage().rss - rss < 64 * KIB * KIB, 'the memory that bombs took');
});
