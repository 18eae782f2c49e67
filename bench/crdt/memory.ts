/** Memory an element of replicas that are held, each in a process of its own (held.ts). */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HolderKind } from './holders.js';

const PROGRAM = fileURLToPath(new URL('held.ts', import.meta.url));
/** Room for young objects grows with what was made, not with what is held: little of it from the start. */
const FLAGS = ['--expose-gc', '--max-semi-space-size=1', '--import=tsx'];

/** Bytes an element. */
export interface Held {
  /** What more of the process is in memory, less the room of JavaScript's heap in which nothing is. */
  readonly resident: number;
  /** What more there is of objects of JavaScript and of the buffers beside them. */
  readonly heap: number;
}

/** `state`: it is taken in, by way of a file in `room`, instead of written. */
export function heldBy({ form, name }: HolderKind, elements: number, room: string, state: Uint8Array | null): Held {
  const file = join(room, `${form}-${name}`);
  if (state !== null) writeFileSync(file, state);
  const child = spawnSync(process.execPath, [...FLAGS, PROGRAM, form, name, String(elements), ...(state === null ? [] : [file])], { encoding: 'utf8' });
  if (child.status !== 0) throw new Error(`memory of the ${form} ${name}: ${child.error?.message ?? child.stderr.trim()}`);
  // The last line: yjs writes to the standard output too.
  const { resident, heap } = JSON.parse(child.stdout.trim().split('\n').at(-1) ?? '') as Held;
  return { resident: resident / elements, heap: heap / elements };
}
