import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What the repository keeps: a folder for each target, a file for each input, named by its hash. */
export const KEPT = fileURLToPath(new URL('kept', import.meta.url));

export function inputsIn(folder: string): { path: string; bytes: Buffer }[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).sort().map((name) => ({ path: join(folder, name), bytes: readFileSync(join(folder, name)) }));
}

/** Answers where it is. */
export function keep(folder: string, bytes: Uint8Array, prefix = ''): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${prefix}${createHash('sha1').update(bytes).digest('hex')}`);
  writeFileSync(path, bytes);
  return path;
}
