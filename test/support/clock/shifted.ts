/** Processes whose clock on the wall shows something else than the machine's. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('./shifted.c', import.meta.url));

/** Builds what is preloaded; null, with the reason, where that cannot be done. */
export function shiftedClocks(directory: string): { clock(id: string): ShiftedClock } | { reason: string } {
  if (process.platform !== 'linux') return { reason: 'a clock is shifted by LD_PRELOAD, on Linux' };
  const library = join(directory, 'shifted.so');
  const built = spawnSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, SOURCE, '-ldl'], { encoding: 'utf8' });
  if (built.status !== 0) return { reason: `cc cannot build a library: ${built.error?.message ?? built.stderr}` };
  return { clock: (id) => new ShiftedClock(library, join(directory, `${id}.clock`)) };
}

export class ShiftedClock {
  readonly #library: string;
  readonly #file: string;

  constructor(library: string, file: string) {
    this.#library = library;
    this.#file = file;
    writeFileSync(file, Buffer.alloc(8));
  }

  /** What a process's command is put behind. */
  get within(): readonly string[] {
    return ['/usr/bin/env', `LD_PRELOAD=${this.#library}`, `CLOCK_SHIFT_FILE=${this.#file}`];
  }

  /** From now on it shows so much more; less below 0. */
  shift(ms: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(ms));
    // Not truncated in between: it is mapped.
    writeFileSync(this.#file, bytes, { flag: 'r+' });
  }
}
