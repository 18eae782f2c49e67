import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';

/** A copy of the sources with one more file, and what the folder check says of it. */
function check(t: { teardown(done: () => void): void }, planted: Record<string, string>): { status: number | null; output: string } {
  const room = mkdtempSync(join(tmpdir(), 'vexcoord-storeys-'));
  t.teardown(() => rmSync(room, { recursive: true, force: true }));
  for (const name of ['.dependency-cruiser.cjs', 'tsconfig.json', 'tsconfig.base.json', 'package.json']) cpSync(name, join(room, name));
  symlinkSync(join(process.cwd(), 'node_modules'), join(room, 'node_modules'));
  for (const [path, text] of Object.entries({ 'src/contracts/x.ts': 'export const x = 1;', ...planted })) {
    mkdirSync(dirname(join(room, path)), { recursive: true });
    writeFileSync(join(room, path), text);
  }
  const done = spawnSync(process.execPath, ['node_modules/dependency-cruiser/bin/dependency-cruise.mjs', '--config', '.dependency-cruiser.cjs', 'src'], { cwd: room, encoding: 'utf8' });
  return { status: done.status, output: done.stdout + done.stderr };
}

const EXPORT = 'export const y = 1;';
/** What is planted, and the line of the report that must name it. */
const VIOLATIONS: readonly [what: string, report: string, planted: Record<string, string>][] = [
  ['an import upwards', 'storey-1-config: src/config/a.ts → src/network/b.ts', { 'src/config/a.ts': "export { y } from '../network/b.js';", 'src/network/b.ts': EXPORT }],
  ['an import from a sibling', 'storey-1-events: src/events/a.ts → src/config/b.ts', { 'src/events/a.ts': "export { y } from '../config/b.js';", 'src/config/b.ts': EXPORT }],
  ['an import of a type from a sibling', 'storey-4-api: src/api/a.ts → src/cli/t.ts', { 'src/api/a.ts': "import type { Y } from '../cli/t.js';\nexport type Z = Y;", 'src/cli/t.ts': 'export type Y = 1;' }],
  ['a file in a pure storey', 'pure-storeys: src/events/fs.ts → fs', { 'src/events/fs.ts': "export { readFileSync } from 'node:fs';" }],
  ['a timer in a pure storey', 'pure-storeys: src/errors/timer.ts → timers', { 'src/errors/timer.ts': "export { setTimeout } from 'timers';" }],
  ['a cycle', 'no-cycles: src/bridge/c.ts', { 'src/bridge/c.ts': "export * from './d.js';", 'src/bridge/d.ts': "export * from './c.js';" }],
  ['a folder without a storey', 'known-folders: src/cli/misc.ts → src/misc/a.ts', { 'src/misc/a.ts': EXPORT, 'src/cli/misc.ts': "export * from '../misc/a.js';" }],
  ['an import of the public index', 'index-is-the-top: src/cli/top.ts → src/index.ts', { 'src/index.ts': EXPORT, 'src/cli/top.ts': "export * from '../index.js';" }],
  ['a development package in what ships', 'no-development-packages: src/cli/dev.ts', { 'src/cli/dev.ts': "export { default } from 'fast-check';" }],
];

test('what keeps to the storeys passes', (t) => {
  const { status, output } = check(t, {
    'src/errors/a.ts': "export { x } from '../contracts/x.js';",
    'src/cli/a.ts': "import { readFileSync } from 'node:fs';\nexport * from '../api/b.js';\nexport const read = readFileSync;",
    'src/api/b.ts': "export { x } from '../errors/a.js';",
    'src/index.ts': "export * from './cli/a.js';",
  });
  t.is(status, 0, output);
});

test('each kind of violation is found', (t) => {
  const { status, output } = check(t, Object.assign({}, ...VIOLATIONS.map(([, , planted]) => planted)));
  t.not(status, 0);
  for (const [what, report] of VIOLATIONS) t.true(output.includes(report), `${what}: ${report} is not in\n${output}`);
});
