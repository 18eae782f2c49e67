/** Writes a snapshot that comes over the network to a file, which appears whole or not at all: a file that has the name stays until then. */
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { SnapshotStream } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { isNoRoom } from './no-room.js';
import { progress } from './progress.js';

export async function saveTo(file: string, snapshot: SnapshotStream): Promise<void> {
  const part = `${file}.${process.pid}.part`;
  const shown = progress('bytes', snapshot.bytes);
  let written = 0;
  try {
    const target = await open(part, 'wx');
    try {
      for await (const chunk of snapshot.chunks) {
        // Unlike `write`, it goes on after a part of the chunk, and so meets the error of a disk that has become full.
        await target.appendFile(chunk);
        written += chunk.length;
        shown.update(written);
      }
      await target.sync();
      const { size } = await target.stat();
      if (size !== snapshot.bytes) throw new Error(`${size} of its ${snapshot.bytes} bytes are there`);
    } finally {
      await target.close();
    }
    await rename(part, file);
    await syncDirectory(dirname(file));
  } catch (thrown) {
    await rm(part, { force: true });
    if (thrown instanceof CoordinatorError) throw thrown;
    throw new CoordinatorError(isNoRoom(thrown) ? 'DISK_FULL' : 'SNAPSHOT_FAILED', `${file} cannot be written: ${(thrown as Error).message}`, { cause: thrown });
  } finally {
    shown.stop();
    await snapshot.close();
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
