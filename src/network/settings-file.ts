/** Files that a setting names. */
import { readFile } from 'node:fs/promises';
import { CoordinatorError } from '../errors/index.js';

const FILE_BYTES_MAX = 1024 * 1024;

/** Rejects with `CONFIG_INVALID` and a sentence that names the setting and the file. */
export async function readSettingsFile(setting: string, path: string): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw fileInvalid(setting, path, `cannot be read: ${(error as Error).message}`, error);
  }
  if (bytes.length > FILE_BYTES_MAX) throw fileInvalid(setting, path, `has ${bytes.length} bytes; at most ${FILE_BYTES_MAX} are read`);
  return bytes.toString('utf8');
}

export function fileInvalid(setting: string, path: string, why: string, cause?: unknown): CoordinatorError {
  return new CoordinatorError('CONFIG_INVALID', `${setting}: ${path} ${why}`, { details: { name: setting, path }, cause });
}
