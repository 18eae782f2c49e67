/** A data directory says which window its log was written with: no reader of its files may take another. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Coordinator, type CoordinatorError } from '../dist/index.js';
import { lookAtDirectory, recoverDirectory, scanLog } from '../dist/native/index.js';
import { vexcoord } from './cli-run.js';
import { fileWrite, room, until, writes } from './helpers/cluster.js';

const WINDOW = 1000;
const SEGMENT_BYTES = 1024 * 1024;

const start = (dataDir: string, windowEvents = WINDOW) =>
  Coordinator.start({ nodeId: 'a', clusterId: 'test', dataDir, listen: '127.0.0.1:0', api: false, admin: false, dedup: { windowEvents }, log: { segmentBytes: SEGMENT_BYTES, spareSegments: 1 } });

const errorOf = async (promise: Promise<unknown>): Promise<CoordinatorError> => promise.then(() => Promise.reject(new Error('it succeeded')), (error: CoordinatorError) => error);

/** In which an id counts as new once more than the window has passed, and what its member said of it. */
async function directoryWithRepeat(t: ExecutionContext): Promise<{ dataDir: string; events: bigint; applyHash: string }> {
  const dataDir = join(room(t), 'a');
  const node = await start(dataDir);
  const repeated = fileWrite('/first');
  await node.publish(repeated, { session: null });
  for (let batch = 0; batch < 16; batch++) await node.publishBatch(writes(100, `/${batch}`));
  const again = await node.publish(repeated, { session: null });
  t.false(again.duplicate);
  const { groups } = node.status();
  await node.close();
  return { dataDir, events: groups[0]?.events ?? 0n, applyHash: groups[0]?.applyHash ?? '' };
}

test('a node writes it once, and is not started with another', async (t) => {
  const dataDir = join(room(t), 'a');
  const path = join(dataDir, 'SETTINGS.json');
  await (await start(dataDir)).close();
  t.deepEqual(JSON.parse(readFileSync(path, 'utf8')), { 'dedup.windowEvents': WINDOW });
  t.false(existsSync(`${path}.new`));
  const refused = await errorOf(start(dataDir, 2000));
  t.is(refused.code, 'CONFIG_INVALID');
  t.regex(refused.message, /dedup\.windowEvents is 2000, but .*SETTINGS\.json says 1000/);
  // A directory of before gets it at its next start.
  rmSync(path);
  await (await start(dataDir, 2000)).close();
  t.deepEqual(JSON.parse(readFileSync(path, 'utf8')), { 'dedup.windowEvents': 2000 });
  for (const text of ['', '{}', 'null', '{"dedup.windowEvents":"1000"}']) {
    writeFileSync(path, text);
    t.is((await errorOf(start(dataDir, 2000))).code, 'DATA_DIR_UNREADABLE', text);
  }
  // What is refused has left nothing that a start meets.
  writeFileSync(path, '{"dedup.windowEvents":2000,"later":1}');
  await (await start(dataDir, 2000)).close();
  t.deepEqual(readdirSync(dataDir).filter((name) => name.startsWith('SETTINGS')), ['SETTINGS.json']);
});

test('log verify, log dump and recover come to the state that the member had', async (t) => {
  const { dataDir, events, applyHash } = await directoryWithRepeat(t);
  const scan = await scanLog(dataDir);
  t.like(scan.summary, { windowEvents: WINDOW, groups: [{ events, applyHash }] });
  await scan.close();
  const verified = await vexcoord(['log', 'verify', '--data-dir', dataDir, '--output', 'json']);
  t.like(JSON.parse(verified.stdout), { problemCount: 1, problems: [{ kind: 'doubled' }], members: [{ events: String(events), applyHash }] });
  // The id is named, as one that is there twice; the state is the member's all the same.
  const recover = ['recover', '--data-dir', dataDir, '--node-id', 'a', '--cluster-id', 'test', '--yes', '--i-understand-data-loss'];
  for (const args of [['log', 'verify', '--data-dir', dataDir], ['log', 'dump', '--data-dir', dataDir], recover]) {
    const refused = await vexcoord([...args, '--window-events', '2000']);
    t.regex(refused.stderr, /^CONFIG_INVALID: dedup\.windowEvents is 2000, but .* says 1000/, args.join(' '));
  }
  t.is((await vexcoord(['log', 'dump', '--data-dir', dataDir, '--window-events', '1000', '--count', '1'])).status, 0);
  const unknown = await vexcoord(['log', 'dump', '--data-dir', dataDir, '--group', '7']);
  t.deepEqual([unknown.status, unknown.stdout], [1, '']);
  t.regex(unknown.stderr, /^GROUP_UNKNOWN: the log in .* has no group 7; it has 0$/m);
  t.like(await lookAtDirectory(dataDir), { groups: [{ events }] });
  await recoverDirectory({ dataDir, clusterId: 'test', nodeId: 'a', seed: 1n, segmentBytes: SEGMENT_BYTES });
  const node = await start(dataDir);
  t.teardown(() => node.close());
  await until('a leader', () => node.status().leader === 'a');
  t.is(node.status().groups[0]?.events, events);
});
