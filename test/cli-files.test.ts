/** Files that `vexcoord` writes: whole, or as they were before. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { RECORD_NAME, record } from '../dist/cli/recover/record.js';
import { saveTo } from '../dist/cli/snapshot-file.js';
import type { SnapshotStream } from '../dist/index.js';
import { codeOf } from './helpers/cluster.js';
import { smallDisk } from './helpers/small-disk.js';

function stream(chunks: readonly Buffer[], bytes = Buffer.concat(chunks).length): SnapshotStream {
  async function* all() {
    yield* chunks;
  }
  return { group: 0, index: 1n, bytes, chunks: all(), close: () => Promise.resolve() };
}

test('a snapshot that the disk has room for in part only is not saved, and the older one stays', async (t) => {
  const disk = smallDisk(t, '64k');
  if (disk === null) return;
  t.teardown(disk.remove);
  const file = join(disk.directory, 'state.snap');
  await saveTo(file, stream([Buffer.from('older')]));
  // The kernel takes the part of it that fits, and says so by a number.
  t.is(await codeOf(saveTo(file, stream([Buffer.alloc(96 * 1024, 1)]))), 'DISK_FULL');
  t.is(readFileSync(file, 'utf8'), 'older');
  t.deepEqual(readdirSync(disk.directory), ['state.snap']);
  await saveTo(file, stream([Buffer.from('ne'), Buffer.from('wer')]));
  t.is(readFileSync(file, 'utf8'), 'newer');
});

test('a snapshot of another size than was said is not saved', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'vexcoord-test-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  t.is(await codeOf(saveTo(join(directory, 'state.snap'), stream([Buffer.from('short')], 6))), 'SNAPSHOT_FAILED');
  t.deepEqual(readdirSync(directory), []);
});

test('a recovery that cannot be recorded for want of room leaves the record as it was', async (t) => {
  const disk = smallDisk(t, '64k');
  if (disk === null) return;
  t.teardown(disk.remove);
  await record(disk.directory, { state: 'begun' });
  const before = readFileSync(join(disk.directory, RECORD_NAME), 'utf8');
  t.is(await codeOf(record(disk.directory, { state: 'done', at: 'x'.repeat(96 * 1024) })), 'DISK_FULL');
  t.is(readFileSync(join(disk.directory, RECORD_NAME), 'utf8'), before);
});
