/** Files that appear whole or not at all, with the mode that they are to have. */
import { randomBytes } from 'node:crypto';
import { chmod, link, open, rename, rm } from 'node:fs/promises';

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

async function writePart(file: string, text: string, mode: number): Promise<string> {
  const part = `${file}.${randomBytes(6).toString('hex')}.part`;
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
