/** A disk that is really full: a small file system of its own, which takes root to mount. */
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Coordinator, type Receipt } from '../dist/index.js';
import { codeOf, fileWrite, take, until } from './helpers/cluster.js';
import { smallDisk } from './helpers/small-disk.js';

const MIB = 1024 * 1024;

test.serial('a full disk: writes wait and the status says why; with room they go on by themselves, and nothing is lost', async (t) => {
  const small = smallDisk(t, '24m');
  if (small === null) return;
  const disk = small.directory;
  const dataDir = join(disk, 'a');
  mkdirSync(dataDir);
  const config = { nodeId: 'a', clusterId: 'full', dataDir, listen: '127.0.0.1:0', api: false as const, log: { segmentBytes: MIB, spareSegments: 0, reserveBytes: 2 * MIB } };
  let node = await Coordinator.start(config);
  t.teardown(async () => {
    await node.close();
    small.remove();
  });
  await until('a leader', () => node.status().role === 'leader');
  const acknowledged: Receipt[] = [await node.publish(fileWrite('/before', 1000))];
  const filler = join(disk, 'filler');
  const { bavail, bsize } = statfsSync(disk);
  writeFileSync(filler, Buffer.alloc(bavail * bsize));

  // What is published now waits; each in a session of its own, so that one that was given up holds up nobody.
  const waiting: Promise<Receipt>[] = [];
  let ended = 0;
  let { health } = node.status();
  // A file system may give the room of removed files late: then what is held back lets some be written after the first that was not.
  await until('the disk to be full, what was held back included', () => {
    const one = node.publish(fileWrite(`/full/${waiting.length}`, 100_000), { session: null, timeoutMs: 60_000 });
    waiting.push(one);
    one.finally(() => (ended += 1)).catch(() => {});
    const status = node.status();
    health = status.health;
    return status.disk.full && waiting.length - ended >= 10;
  });
  t.is(health.state, 'degraded');
  t.true(health.reasons.some((reason) => reason.startsWith('DISK_FULL: ')), health.reasons.join());
  // Room that was left in the last segment may still take one.
  const impatient = () => codeOf(node.publish(fileWrite('/impatient', 10), { session: null, timeoutMs: 300 }));
  await until('a publish to time out', async () => (await impatient()) === 'TIMEOUT');

  // Room for all of them, with what is held back restored first.
  rmSync(filler);
  const receipts = await Promise.all(waiting);
  acknowledged.push(...receipts);
  await until('the disk to be fine', () => !node.status().disk.full && node.status().health.state === 'ok');
  acknowledged.push(await node.publish(fileWrite('/after')));
  await node.close();
  node = await Coordinator.start(config);
  await until('its journal', () => node.status().commitIndex >= (acknowledged.at(-1)?.index ?? 0n) && node.status().role === 'leader');
  const deliveries = await take(node, Number(node.status().groups[0]?.events ?? 0n));
  const ids = deliveries.map(({ event }) => event.id);
  t.is(new Set(ids).size, ids.length);
  t.deepEqual(acknowledged.filter(({ eventId }) => !ids.includes(eventId)), []);
});
