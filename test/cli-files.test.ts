/** Files that `vexcoord` writes: whole, or as they were before. */
import { execFileSync, spawn } from 'node:child_process';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ApiServer } from '../dist/api/index.js';
import { CertificateDirectory } from '../dist/cli/cert/directory.js';
import { RECORD_NAME, record } from '../dist/cli/recover/record.js';
import { saveTo } from '../dist/cli/snapshot-file.js';
import type { SnapshotStream } from '../dist/index.js';
import { MemoryNode } from './api-memory-node.js';
import { COMMAND } from './cli-run.js';
import { codeOf, room, until } from './helpers/cluster.js';
import { smallDisk } from './helpers/small-disk.js';

function stream(chunks: readonly Buffer[], bytes = Buffer.concat(chunks).length): SnapshotStream {
  async function* all() {
    yield* chunks;
  }
  return { group: 0, index: 1n, bytes, chunks: all(), close: () => Promise.resolve() };
}

const save = (file: string, ...of: Parameters<typeof stream>) => saveTo(file, async () => stream(...of));

/** Names of something else than a regular file, and what each is. */
async function others(t: ExecutionContext, directory: string, name: string): Promise<Map<string, string>> {
  const at = (kind: string): string => {
    mkdirSync(join(directory, kind));
    return join(directory, kind, name);
  };
  const kinds = new Map(['a FIFO', 'a socket', 'a directory', 'a symbolic link'].map((kind) => [at(kind.slice(2)), kind]));
  const [fifo, socket, folder, link] = [...kinds.keys()] as [string, string, string, string];
  execFileSync('mkfifo', [fifo]);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  t.teardown(() => server.close());
  mkdirSync(folder);
  const target = join(directory, 'target');
  writeFileSync(target, 'stays');
  symlinkSync(target, link);
  return kinds;
}

test('a snapshot that the disk has room for in part only is not saved, and the older one stays', async (t) => {
  const disk = smallDisk(t, '64k');
  if (disk === null) return;
  t.teardown(disk.remove);
  const file = join(disk.directory, 'state.snap');
  await save(file, [Buffer.from('older')]);
  // The kernel takes the part of it that fits, and says so by a number.
  t.is(await codeOf(save(file, [Buffer.alloc(96 * 1024, 1)])), 'DISK_FULL');
  t.is(readFileSync(file, 'utf8'), 'older');
  t.deepEqual(readdirSync(disk.directory), ['state.snap']);
  await save(file, [Buffer.from('ne'), Buffer.from('wer')]);
  t.is(readFileSync(file, 'utf8'), 'newer');
});

test('a snapshot of another size than was said is not saved', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'vexcoord-test-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  t.is(await codeOf(save(join(directory, 'state.snap'), [Buffer.from('short')], 6)), 'SNAPSHOT_FAILED');
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

test('a snapshot takes the place of a regular file only, and is not asked for where it could not', async (t) => {
  const directory = room(t);
  for (const [file, kind] of await others(t, directory, 'state.snap')) {
    const before = lstatSync(file);
    const refused = await t.throwsAsync(
      saveTo(file, async () => {
        t.fail(`the node was asked for what is to replace ${kind}`);
        return stream([]);
      }),
      undefined,
      kind,
    );
    t.like(refused, { code: 'SNAPSHOT_FAILED', message: `${file} is ${kind}, and only a regular file is written over` });
    t.is(lstatSync(file).ino, before.ino, kind);
    // What comes there while the node is asked stays too.
    rmSync(file, { recursive: true });
    const late = saveTo(file, async () => {
      mkdirSync(file);
      return stream([Buffer.from('state')]);
    });
    t.like(await t.throwsAsync(late), { code: 'SNAPSHOT_FAILED', message: `${file} is a directory, and only a regular file is written over` });
    t.deepEqual(readdirSync(join(file, '..')), ['state.snap']);
  }
  t.is(readFileSync(join(directory, 'target'), 'utf8'), 'stays');
});

test('a certificate or a key that is no regular file is not renewed', async (t) => {
  const directory = room(t);
  for (const name of ['a.crt', 'a.key']) {
    for (const [file, kind] of await others(t, join(directory, name, '..'), name)) {
      const certificates = new CertificateDirectory(join(file, '..'));
      t.like(await t.throwsAsync(certificates.rotate('a', 1)), { code: 'CERTIFICATE_INVALID', message: `${file} is ${kind}, and only a regular file is written over` });
    }
    for (const left of readdirSync(directory)) rmSync(join(directory, left), { recursive: true });
  }
});

/** Its snapshot does not end, and neither does the wait for it where `begins` is false. */
class StallingNode extends MemoryNode {
  asked = false;

  constructor(private readonly begins: boolean) {
    super();
  }

  override async saveSnapshot(): Promise<SnapshotStream> {
    this.asked = true;
    const never = new Promise<never>(() => {});
    if (!this.begins) return never;
    async function* some(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(1000, 1);
      await never;
    }
    return { group: 0, index: 1n, bytes: 2000, chunks: some(), close: () => Promise.resolve() };
  }
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  for (const begins of [true, false]) {
    test(`a snapshot that is interrupted by ${signal} ${begins ? 'while it comes' : 'before it comes'} leaves what was there, and says so`, async (t) => {
      const directory = room(t);
      const file = join(directory, 'state.snap');
      writeFileSync(file, 'older');
      const node = new StallingNode(begins);
      const server = await ApiServer.start(node, { address: '127.0.0.1:0' });
      t.teardown(() => server.close());
      const child = spawn(process.execPath, [COMMAND, 'snapshot', 'save', file, '--api', server.address], { stdio: ['ignore', 'ignore', 'pipe'] });
      let told = '';
      child.stderr.on('data', (data) => {
        told += data;
      });
      const ended = new Promise((resolve) => child.once('close', (_, by) => resolve(by)));
      await until('the node is asked', () => node.asked && (!begins || readdirSync(directory).length > 1));
      child.kill(signal);
      t.is(await ended, signal);
      t.deepEqual(readdirSync(directory), ['state.snap']);
      t.is(readFileSync(file, 'utf8'), 'older');
      t.deepEqual(told.split('\n').filter((line) => line !== '' && !line.startsWith('bytes ')), [`ABORTED: interrupted by ${signal}; nothing was written to ${file}`]);
    });
  }
}
