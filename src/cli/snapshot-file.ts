/** Writes a snapshot that comes over the network to a file, which appears whole or not at all: a file that has the name stays until then. */
import { renameSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { SnapshotStream } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { partOf, refuseOther } from './new-files.js';
import { isNoRoom } from './no-room.js';
import { progress } from './progress.js';

/** `take` is asked for the snapshot only where the file may have its name. Whoever aborts the signal has `take` and its chunks end. */
export async function saveTo(file: string, take: () => Promise<SnapshotStream>, signal?: AbortSignal): Promise<SnapshotStream> {
  const other = (sentence: string): CoordinatorError => new CoordinatorError('SNAPSHOT_FAILED', sentence);
  await refuseOther(file, other);
  const snapshot = await take();
  const part = partOf(file);
  const shown = progress('bytes', snapshot.bytes);
  try {
    await writePart(part, snapshot, (written) => shown.update(written));
    await refuseOther(file, other);
    if (signal?.aborted) throw new CoordinatorError('ABORTED', `nothing was written to ${file}`, { committed: 'no' });
    // At once: who was told that nothing was written finds nothing.
    renameSync(part, file);
    await syncDirectory(dirname(file));
  } catch (thrown) {
    await rm(part, { force: true });
    if (thrown instanceof CoordinatorError) throw thrown;
    throw new CoordinatorError(isNoRoom(thrown) ? 'DISK_FULL' : 'SNAPSHOT_FAILED', `${file} cannot be written: ${(thrown as Error).message}`, { cause: thrown });
  } finally {
    shown.stop();
    await snapshot.close();
  }
  return snapshot;
}

async function writePart(part: string, snapshot: SnapshotStream, update: (bytes: number) => void): Promise<void> {
  const target = await open(part, 'wx');
  let written = 0;
  try {
    for await (const chunk of snapshot.chunks) {
      // Unlike `write`, it goes on after a part of the chunk, and so meets the error of a disk that has become full.
      await target.appendFile(chunk);
      written += chunk.length;
      update(written);
    }
    await target.sync();
    const { size } = await target.stat();
    if (size !== snapshot.bytes) throw new Error(`${size} of its ${snapshot.bytes} bytes are there`);
  } finally {
    await target.close();
  }
}

/** Or the new name could be lost with the power. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
