/** Files that appear whole or not at all, with the mode that they are to have, and never in the place of what is no file. */
import { randomBytes } from 'node:crypto';
import type { Stats } from 'node:fs';
import { chmod, link, lstat, open, rename, rm } from 'node:fs/promises';

export const SECRET_MODE = 0o600;

/** Throws what `taken` makes where the name is taken: what has it stays. */
export async function writeNew(file: string, text: string, mode: number, taken: (file: string) => Error): Promise<void> {
  const part = await writePart(file, text, mode);
  try {
    await link(part, file);
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? taken(file) : error;
  } finally {
    await rm(part, { force: true });
  }
}

export async function replace(file: string, text: string, mode: number): Promise<void> {
  await rename(await writePart(file, text, mode), file);
}

/** Of a file that is not whole yet, in its directory. */
export const partOf = (file: string): string => `${file}.${randomBytes(6).toString('hex')}.part`;

/** Throws what `refusal` makes of a sentence where the name is that of something else than a regular file, which a rename would put away. */
export async function refuseOther(file: string, refusal: (sentence: string) => Error): Promise<void> {
  // Where nothing has the name, or nobody can look, the writing says what is wrong.
  const found = await lstat(file).catch(() => null);
  if (found !== null && !found.isFile()) throw refusal(`${file} is ${kindOf(found)}, and only a regular file is written over`);
}

function kindOf(found: Stats): string {
  if (found.isDirectory()) return 'a directory';
  if (found.isSymbolicLink()) return 'a symbolic link';
  if (found.isFIFO()) return 'a FIFO';
  if (found.isSocket()) return 'a socket';
  return 'a device';
}

async function writePart(file: string, text: string, mode: number): Promise<string> {
  const part = partOf(file);
  const target = await open(part, 'wx', mode);
  try {
    await target.writeFile(text);
    await target.sync();
  } finally {
    await target.close();
  }
  // Whatever the process's mask took or left.
  await chmod(part, mode);
  return part;
}
