/** The record of a recovery, in the directory itself. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { CoordinatorError } from '../../errors/index.js';
import { isNoRoom } from '../no-room.js';

/** One JSON object a line, one line a recovery or the beginning of one. */
export const RECORD_NAME = 'RECOVERED.jsonl';

/** On disk when it resolves. */
export async function record(dataDir: string, entry: { readonly state: 'begun' | 'done'; readonly [field: string]: unknown }): Promise<void> {
  try {
    await append(join(dataDir, RECORD_NAME), `${JSON.stringify(entry)}\n`);
    const directory = await open(dataDir, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch (cause) {
    const [what, committed] = entry.state === 'done' ? (['the recovery is done, which', 'yes'] as const) : (['the recovery', 'no'] as const);
    throw new CoordinatorError(isNoRoom(cause) ? 'DISK_FULL' : 'DATA_DIR_UNREADABLE', `${what} cannot be recorded in ${dataDir}: ${(cause as Error).message}`, { cause, committed });
  }
}

/** All of the line or nothing of it. */
async function append(path: string, line: string): Promise<void> {
  const file = await open(path, 'a');
  const { size } = await file.stat();
  try {
    await file.appendFile(line);
    await file.sync();
  } catch (thrown) {
    // The error that counts is the first.
    await file.truncate(size).catch(() => {});
    throw thrown;
  } finally {
    await file.close();
  }
}
