import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';

/** Mounts a file system in memory of that `size` (`24m`); null, and said so, where that is not allowed. Whoever mounts it removes it again. */
export function smallDisk(t: ExecutionContext, size: string): { readonly directory: string; remove(): void } | null {
  const directory = mkdtempSync(join(tmpdir(), 'vexcoord-full-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', directory], { stdio: 'ignore' });
  } catch {
    rmSync(directory, { recursive: true });
    t.log('skipped: a file system can be mounted by root only');
    t.pass();
    return null;
  }
  const remove = (): void => {
    execFileSync('umount', [directory]);
    rmSync(directory, { recursive: true });
  };
  return { directory, remove };
}
