import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';

/** Runs the preparation on a machine that has only the given commands. */
function prepare(t: { teardown(done: () => void): void }, commands: Record<string, string>): { status: number | null; stderr: string } {
  const room = mkdtempSync(join(tmpdir(), 'vexcoord-prepare-'));
  t.teardown(() => rmSync(room, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(commands)) {
    writeFileSync(join(room, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(room, name), 0o755);
  }
  const { status, stderr } = spawnSync(process.execPath, ['scripts/prepare.mjs'], { env: { PATH: room, HOME: room }, encoding: 'utf8' });
  return { status, stderr };
}

test('what is missing is said in one sentence, with the fix', (t) => {
  t.deepEqual(prepare(t, {}), { status: 1, stderr: 'Cargo is missing: install the Rust toolchain from https://rustup.rs, then run this again.\n' });
  const old = prepare(t, { cargo: 'echo "cargo 1.70.0 (abc 2023-01-01)"' });
  t.deepEqual(old, { status: 1, stderr: 'cargo 1.70.0 (abc 2023-01-01) is too old: run "rustup update" to get Rust 1.85 or newer.\n' });
  const unlinked = prepare(t, { cargo: 'echo "cargo 1.85.0"' });
  t.deepEqual(unlinked, { status: 1, stderr: 'A C linker is missing: install one (on Debian and Ubuntu: apt-get install build-essential), then run this again.\n' });
});
