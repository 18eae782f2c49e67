/** The record of a recovery, in the directory itself. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { CoordinatorError } from '../../errors/index.js';

/** One JSON object a line, one line a recovery or the beginning of one. */
export const RECORD_NAME = 'RECOVERED.jsonl';

/** On disk when it resolves. */
export async function record(dataDir: string, entry: object): Promise<void> {
  try {
    const file = await open(join(dataDir, RECORD_NAME), 'a');
    try {
      await file.write(`${JSON.stringify(entry)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    const directory = await open(dataDir, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch (cause) {
    throw new CoordinatorError('DATA_DIR_UNREADABLE', `the recovery cannot be recorded in ${dataDir}: ${(cause as Error).message}`, { cause });
  }
}
