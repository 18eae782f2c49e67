import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = 'test/golden';
const LINE_BYTES = 32;

/** Compares bytes with a golden file of hex; `UPDATE_GOLDEN=1` writes it, for a reviewed change of format. */
export function golden(name: string, bytes: Uint8Array): { readonly written: string; readonly expected: string } {
  const hex = Buffer.from(bytes).toString('hex');
  const written = (hex.match(new RegExp(`.{1,${LINE_BYTES * 2}}`, 'g')) ?? []).map((line) => `${line}\n`).join('');
  const file = join(FOLDER, `${name}.hex`);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, written);
  return { written, expected: readFileSync(file, 'utf8') };
}

export function goldenBytes(name: string): Buffer {
  return Buffer.from(readFileSync(join(FOLDER, `${name}.hex`), 'utf8').replaceAll('\n', ''), 'hex');
}
