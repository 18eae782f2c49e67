import { once } from 'node:events';
import type { JsonValue } from '../contracts/index.js';

export type OutputFormat = 'table' | 'json';

/** A reader that went away (`| head`) is no failure: there is nobody left to write for. */
export function quietPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  // Nobody reads the reasons either.
  process.stderr.on('error', () => {});
}

/** Writes one line to stdout and waits when the reader is slow. */
export async function writeLine(text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain');
}

export const writeJson = (value: JsonValue | object): Promise<void> => writeLine(JSON.stringify(value));

/** Resolves once what was written to stdout and stderr is on its way. */
export async function flushed(): Promise<void> {
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise<void>((resolve) => stream.write('', () => resolve()))));
}

/** Columns as wide as their widest cell; numbers to the right. */
export function table(rows: readonly (readonly string[])[], head?: readonly string[]): string {
  const all = head === undefined ? rows : [head, ...rows];
  const widths: number[] = [];
  for (const row of all) row.forEach((cell, column) => {
    widths[column] = Math.max(widths[column] ?? 0, cell.length);
  });
  const numeric = widths.map((_, column) => rows.length > 0 && rows.every((row) => /^-?[\d.,]*( [a-zµ/]+)?$/.test(row[column] ?? '')));
  return all
    .map((row) => row.map((cell, column) => (numeric[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0))).join('  '))
    .map((line) => line.trimEnd())
    .join('\n');
}

/** `name  value` lines. */
export function facts(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd()).join('\n');
}
