/** What far hosts are made of, and that it does to packets what its lines say. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import test from 'ava';
import { Random } from './endurance/random.js';
import { skipped } from './support/hosts/cluster.js';
import { FarLab } from './support/relay/far.js';
import { Line } from './support/relay/lines.js';
import { endsOf, sum } from './support/relay/packet.js';
import { DueQueue } from './support/relay/queue.js';

const PACKETS = 20_000;

test('a line delays, keeps the order through jitter, and loses its share; a seed repeats it', (t) => {
  const settings = { delayMs: 10, jitterMs: 5, loss: 0.1 };
  const run = (): (number | null)[] => {
    const line = new Line(settings, 7);
    return Array.from({ length: PACKETS }, (_, at) => line.due(at));
  };
  const due = run();
  t.deepEqual(run(), due);
  const passed = due.flatMap((dueMs, at) => (dueMs === null ? [] : [{ dueMs, at }]));
  t.true(passed.every(({ dueMs, at }) => dueMs >= at + 10 && dueMs < at + 15));
  t.true(passed.every(({ dueMs }, at) => at === 0 || passed[at - 1]!.dueMs <= dueMs));
  const lost = due.length - passed.length;
  t.true(lost > 0.08 * PACKETS && lost < 0.12 * PACKETS, `${lost} of ${PACKETS} were lost`);
});

test('a line has some packets overtaken where it is told to', (t) => {
  const line = new Line({ delayMs: 10, reordered: 0.1 }, 7);
  const due = Array.from({ length: PACKETS }, (_, at) => line.due(at / 10)!);
  const overtaken = due.filter((dueMs, at) => at + 1 < due.length && dueMs > due[at + 1]!).length;
  t.true(overtaken > 0.05 * PACKETS && overtaken < 0.15 * PACKETS, `${overtaken} of ${PACKETS} were overtaken`);
});

test('what waits comes by when it is due, and in the order of its coming where that is the same', (t) => {
  const random = new Random(3);
  const queue = new DueQueue<number>();
  const waiting = Array.from({ length: 2000 }, (_, at) => ({ at, dueMs: random.below(50) }));
  for (const { at, dueMs } of waiting) queue.add(dueMs, at);
  const taken = waiting.map(() => queue.take());
  t.deepEqual(taken, waiting.sort((a, b) => a.dueMs - b.dueMs || a.at - b.at).map(({ at }) => at));
  t.is(queue.take(), null);
  t.is(queue.nextMs, Number.POSITIVE_INFINITY);
});

test('the checksum of a segment is written as RFC 9293 has it', (t) => {
  // VXLAN, Ethernet from host 1 to host 2, IPv4 from 10.198.0.1 to 10.198.0.2, a TCP segment with "abc".
  const tunnel = '0800000000000700';
  const ethernet = '0200000000020200000000010800';
  const ip = '4500002b00004000400600000ac600010ac60002';
  const tcp = 'c3502328100000002000000050180200ffff0000616263';
  const datagram = Buffer.from(tunnel + ethernet + ip + tcp, 'hex');
  t.deepEqual(endsOf(datagram), { from: 1, to: 2 });
  sum(datagram);
  // With its checksum in it, the words of the segment and of its pseudo header come to nothing.
  const words = Buffer.concat([Buffer.from('0ac600010ac6000200060017', 'hex'), datagram.subarray(42), Buffer.alloc(1)]);
  let total = 0;
  for (let at = 0; at < words.length; at += 2) total += words.readUInt16BE(at);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  t.is(total, 0xffff);
  t.is(endsOf(Buffer.from(`${tunnel}ffffffffffff0200000000010806`, 'hex')), null);
});

const BYTES = 300_000;
const PING_MS = 30;
const SERVER = `require('node:net').createServer((s) => { s.on('error', () => {}); s.pipe(s); }).listen(9000, () => console.log('up'))`;
/** Sends a byte and awaits it, then sends and awaits many; says how long the first took, and whether the others are as they were. */
const client = (host: string): string => `
const { createHash, randomBytes } = require('node:crypto');
const socket = require('node:net').connect({ host: '${host}', port: 9000, noDelay: true });
const all = randomBytes(${BYTES});
let began, pinged = 0, got = [];
socket.on('connect', () => { began = performance.now(); socket.write('x'); });
socket.on('data', (chunk) => {
  if (pinged === 0) { pinged = performance.now() - began; socket.write(all); return; }
  got.push(chunk);
  if (got.reduce((sum, { length }) => sum + length, 0) < ${BYTES}) return;
  console.log(JSON.stringify({ pinged, same: Buffer.concat(got).equals(all) }));
  process.exit();
});`;

test.serial('packets between far hosts take their time, are lost and overtaken, and TCP makes a whole of them', async (t) => {
  if (skipped(t)) return;
  const far = await FarLab.set(t, ['a', 'b'], () => ({ delayMs: PING_MS / 2, jitterMs: 3, loss: 0.03, reordered: 0.05 }), 11);
  const run = (id: string, program: string): ChildProcess => {
    const [command = '', ...before] = far.within(id);
    const child = spawn(command, [...before, process.execPath, '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.teardown(() => void child.kill());
    return child;
  };
  await once(run('b', SERVER).stdout!, 'data');
  const [said] = (await once(run('a', client(far.address('b'))).stdout!, 'data')) as [Buffer];
  const { pinged, same } = JSON.parse(said.toString()) as { pinged: number; same: boolean };
  // The relay may be half a millisecond early each way.
  t.true(pinged >= PING_MS - 1, `a round trip took ${pinged} ms`);
  t.true(same);
  const { passed, lost } = await far.counts();
  t.true(lost > 0 && passed > (2 * BYTES) / 1400, `${passed} packets passed, ${lost} were lost`);
});
