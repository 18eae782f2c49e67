/** Starting and closing: who may have a directory or a port, what close leaves behind, what strangers on the peer port can do. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import { encodeHello } from '../dist/network/hello.js';
import { Coordinator, type CoordinatorConfig, type CoordinatorError } from '../dist/index.js';
import { checkJournals, codeOf, Embedded, fileWrite, journalOf, Plan, room, sleep, startWhenFree, take, until, writes } from './helpers/cluster.js';
import { NodeProcess, ProcessCluster, Writer } from './helpers/node-process.js';

const MIB = 1024 * 1024;
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** A member alone; its port is any free one. */
const alone = (dataDir: string, more: Partial<CoordinatorConfig> = {}): CoordinatorConfig => ({
  nodeId: 'a',
  clusterId: 'test',
  dataDir,
  listen: '127.0.0.1:0',
  api: false,
  admin: false,
  log: { segmentBytes: MIB, spareSegments: 1 },
  ...more,
});

test.serial('a directory has one owner, in this process and in any other', async (t) => {
  const directory = room(t);
  const node = await Coordinator.start(alone(directory));
  t.is(await codeOf(Coordinator.start(alone(directory))), 'DATA_DIR_IN_USE');
  const stranger = new NodeProcess('a', alone(directory));
  t.teardown(() => stranger.kill());
  await stranger.spawn();
  t.is(await codeOf(stranger.call('start', alone(directory))), 'DATA_DIR_IN_USE');
  await node.publish(fileWrite('/still here'));
  await node.close();
  await stranger.call('start', alone(directory));
  t.is(await codeOf(Coordinator.start(alone(directory))), 'DATA_DIR_IN_USE');
  t.is((await stranger.journal()).length, 1);
  await stranger.kill();
  const again = await Coordinator.start(alone(directory));
  t.is((await journalOf(again)).length, 1);
  await again.close();
});

test.serial('a directory of another node, of another cluster, or that is none is refused and left as it was', async (t) => {
  const directory = room(t);
  const node = await Coordinator.start(alone(directory));
  await node.publish(fileWrite('/e'));
  await node.close();
  t.is(await codeOf(Coordinator.start(alone(directory, { nodeId: 'b' }))), 'DATA_DIR_MISMATCH');
  t.is(await codeOf(Coordinator.start(alone(directory, { clusterId: 'other' }))), 'DATA_DIR_MISMATCH');
  const file = join(room(t), 'file');
  writeFileSync(file, 'not a directory');
  t.is(await codeOf(Coordinator.start(alone(file))), 'DATA_DIR_UNREADABLE');
  t.is(await codeOf(Coordinator.start(alone(join(file, 'below')))), 'DATA_DIR_UNREADABLE');
  t.is(readFileSync(file, 'utf8'), 'not a directory');
  const again = await Coordinator.start(alone(directory));
  t.is((await journalOf(again)).length, 1);
  await again.close();
});

test.serial('a taken port refuses the start; the directory is free again', async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void server.close());
  const { port } = server.address() as { port: number };
  const directory = room(t);
  t.is(await codeOf(Coordinator.start(alone(directory, { listen: `127.0.0.1:${port}` }))), 'PORT_IN_USE');
  t.is(await codeOf(Coordinator.start(alone(directory, { listen: '0.0.0.0:0' }))), 'ADDRESS_REFUSED');
  t.is(await codeOf(Coordinator.start(alone(directory, { nodeId: '' }))), 'CONFIG_INVALID');
  const node = await Coordinator.start(alone(directory));
  t.is((await node.publish(fileWrite('/e'))).durableMembers, 1);
  await node.close();
});

test.serial('two members in one process, and their journals', async (t) => {
  const cluster = await Embedded.start(t, {}, ['a', 'b']);
  const [a, b] = [cluster.get('a'), cluster.get('b')];
  const receipts = (await Promise.all([a.publishBatch(writes(100, '/a')), b.publishBatch(writes(100, '/b'))])).flat();
  await cluster.equal();
  checkJournals(t, [await journalOf(a), await journalOf(b)], receipts);
});

test.serial('close: at once after the start, twice, with publishes and streams under way, and a start after it', async (t) => {
  const directory = room(t);
  await (await Coordinator.start(alone(directory))).close();
  const node = await Coordinator.start(alone(directory));
  const waiting = node.subscribe()[Symbol.asyncIterator]().next();
  const events = writes(500, '/e', 500);
  const published = events.map((event) => node.publish(event).then(({ eventId }) => eventId, (error: CoordinatorError) => error));
  await Promise.all([node.close(), node.close()]);
  await node[Symbol.asyncDispose]();
  t.true((await waiting).done);
  // A single member commits by itself: all that was taken before the close was drained.
  const ended = await Promise.all(published);
  t.deepEqual(ended, events.map(({ id }) => id));
  for (const call of [node.publish(fileWrite('/x')), node.publishBatch([]), node.readBarrier(), node.outcome(fileWrite('/x').id), node.read(fileWrite('/x').id)]) t.is(await codeOf(call), 'CLOSED');
  t.throws(() => node.status(), { code: 'CLOSED' });
  t.throws(() => node.subscribe(), { code: 'CLOSED' });
  const again = await Coordinator.start(alone(directory));
  t.deepEqual((await take(again, 500)).map(({ event }) => event.id), events.map(({ id }) => id));
  await again.close();
});

test.serial('close without a quorum ends what waits, says what it knows, and frees the directory', async (t) => {
  const cluster = await Embedded.start(t, { limits: { pendingBytesMax: 64 * 1024 } });
  const a = cluster.get('a');
  await cluster.close('b', 'c');
  await until('no leader', () => a.status().leader === null);
  const ended = writes(30, '/e', 4000).map((event) => a.publish(event).then(() => null, (error: CoordinatorError) => error));
  const barrier = codeOf(a.readBarrier());
  const consumer = a.subscribe({ consumer: 'one' })[Symbol.asyncIterator]().next();
  await sleep(50);
  await cluster.close('a');
  const errors = await Promise.all(ended);
  t.deepEqual(new Set(errors.map((error) => error?.code)), new Set(['CLOSED']));
  t.is(errors.at(-1)?.committed, 'no', 'it waited for room and was never handed in');
  t.is(await barrier, 'CLOSED');
  t.true((await consumer).done);
  await cluster.open('a', 'b', 'c');
  await cluster.leader();
  t.is((await cluster.get('a').publish(fileWrite('/after'))).duplicate, false);
});

test.serial('opened and closed, 30 times and more: no thread, no file and no memory stays', async (t) => {
  const plan = await Plan.of(t, { raft: { electionTimeoutMs: [40, 80], heartbeatIntervalMs: 10 } }, ['a', 'b']);
  const usage = () => ({ threads: readdirSync('/proc/self/task').length, files: readdirSync('/proc/self/fd').length, resources: process.getActiveResourcesInfo().filter((name) => /TCP|Worker|MessagePort/.test(name)).length });
  if (process.platform !== 'linux') {
    t.log('skipped: threads and files of a process are counted on Linux only');
    t.pass();
    return;
  }
  const round = async (): Promise<void> => {
    const nodes: Coordinator[] = [];
    for (const id of plan.ids) await startWhenFree(async () => void nodes.push(await Coordinator.start(plan.config(id))));
    const [a, b] = nodes as [Coordinator, Coordinator];
    await a.publish(fileWrite('/e', 1000));
    await b.readBarrier();
    b.subscribe({ from: 'first', where: { path: '/*' } });
    await Promise.all(nodes.map((node) => node.close()));
  };
  for (let warm = 0; warm < 5; warm++) await round();
  collect();
  const before = usage();
  // The allocator and the workers' heaps reach their size at some time; what leaks grows in every stretch.
  const grown: number[] = [];
  while (grown.length < 8 && (grown.length < 2 || Math.min(...grown) >= 12)) {
    collect();
    const rss = process.memoryUsage().rss;
    for (let times = 0; times < 15; times++) await round();
    collect();
    grown.push(Math.round((process.memoryUsage().rss - rss) / MIB));
  }
  await until('threads, files and sockets to be gone', () => {
    collect();
    const now = usage();
    return now.threads <= before.threads && now.files <= before.files && now.resources <= before.resources;
  });
  t.log(`MiB more in each 15 rounds of two members: ${grown.join(', ')}`);
  t.true(Math.min(...grown) < 12, `MiB more in each 15 rounds of two members: ${grown.join(', ')}`);
});

test.serial('garbage, half frames and strangers on the peer ports harm nobody while events are published', async (t) => {
  const cluster = await ProcessCluster.start(t);
  const writer = new Writer(t, () => cluster.members);
  await writer.more(20);
  const before = await cluster.statuses();
  const hello = (more: Record<string, unknown>) =>
    encodeHello({ clusterId: 'test', nodeId: 'a', protocolMin: 1, protocolMax: 1, channel: 0, incarnation: 1n, directory: Buffer.alloc(16, 7), expectedNodeId: 'b', features: [], settings: '', life: 0n, listen: '', tableVersion: 0n, neighbours: [], ...more });
  const frame = (length: number, rest: Buffer) => Buffer.concat([Buffer.from(Uint32Array.of(length).buffer), rest]);
  const greetings: readonly Buffer[] = [
    Buffer.alloc(100_000, 0x99),
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.from('VXP1\xff\xff\xff\xff', 'latin1'),
    Buffer.from('VXP1\x20\x00\x00\x00half of it', 'latin1'),
    hello({ clusterId: 'other' }),
    hello({ nodeId: 'stranger' }),
    hello({ protocolMin: 90, protocolMax: 99 }),
    hello({ expectedNodeId: 'z' }),
    // Says it is a member, with frames that no member sends; a live member has another directory and is believed.
    Buffer.concat([hello({}), frame(0xffff_ffff, Buffer.alloc(64))]),
    Buffer.concat([hello({ nodeId: 'c', channel: 1 }), frame(64, Buffer.alloc(60, 1))]),
    Buffer.concat([hello({ nodeId: 'b' }), frame(1000, Buffer.alloc(20, 1))]),
  ];
  let closed = 0;
  for (let round = 0; round < 5; round++) {
    for (const id of cluster.plan.ids) {
      for (const bytes of greetings) {
        const socket = connect(cluster.plan.ports.get(id) ?? 0, '127.0.0.1');
        socket.on('error', () => {});
        socket.on('close', () => (closed += 1));
        t.teardown(() => void socket.destroy());
        socket.write(bytes);
        socket.resume();
        if (round % 2 === 0) setTimeout(() => socket.end(), 100);
      }
    }
    await writer.more(20);
  }
  await until('every one of these connections to be closed', () => closed === 5 * 3 * greetings.length);
  await writer.more(20);
  const receipts = await writer.stop();
  const after = await cluster.statuses();
  t.deepEqual(after.map(({ term, leader }) => [term, leader]), before.map(({ term, leader }) => [term, leader]));
  // Those who bore a member's name are told of for as long as they may dial again.
  const reasons = after.flatMap(({ health }) => health.reasons);
  t.true(reasons.length > 0 && reasons.every((reason) => reason.startsWith('DUPLICATE_NODE_ID')), JSON.stringify(reasons));
  t.is(writer.retries, 0);
  await until('health', async () => (await cluster.statuses()).every(({ health }) => health.state === 'ok'));
  await cluster.equal();
  checkJournals(t, await cluster.journals(), receipts);
});
