/** The documents a stranger reads: their code runs, their links lead somewhere, the receipt they explain is the one that is given. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import test from 'ava';
import { freePorts } from '../dist/cli/demo/ports.js';

const readme = readFileSync('README.md', 'utf8');
const section = (title: string): string => readme.split(`\n## ${title}\n`)[1]?.split('\n## ')[0] ?? '';
const codeIn = (title: string): string => /(?<=```js\n)[\s\S]*?(?=```)/.exec(section(title))?.[0] ?? '';
const printedIn = (title: string): string => /(?<=It prints\n\n```\n)[\s\S]*?(?=```)/.exec(section(title))?.[0] ?? '';

/** A project with nothing but the package in it, as after `npm install`. */
function project(t: { teardown(done: () => void): void }): string {
  const room = mkdtempSync(join(tmpdir(), 'vexcoord-readme-'));
  t.teardown(() => rmSync(room, { recursive: true, force: true }));
  mkdirSync(join(room, 'node_modules', '@vexfs'), { recursive: true });
  symlinkSync(process.cwd(), join(room, 'node_modules', '@vexfs', 'coordinator'));
  return room;
}

/** Runs the code of a section in a project of its own. Only the ports change: those of the text may be taken. */
async function run(t: { teardown(done: () => void): void }, code: string) {
  const room = project(t);
  const written = [...new Set(code.match(/(?<=127\.0\.0\.1:)\d+/g))];
  const ports = await freePorts(written.length);
  const file = join(room, 'example.mjs');
  writeFileSync(file, written.reduce((text, port, at) => text.replaceAll(`:${port}`, `:${ports[at]}`), code));
  return { room, done: spawnSync(process.execPath, [file], { cwd: room, encoding: 'utf8', timeout: 60_000 }) };
}

test('the code without a quorum runs and prints what the README says', async (t) => {
  const title = 'Without a quorum';
  t.is(codeIn(title), readFileSync('examples/causal.mjs', 'utf8'), 'the README shows examples/causal.mjs');
  const { done } = await run(t, codeIn(title));
  t.is(done.stderr, '');
  t.is(done.stdout, printedIn(title));
});

test('the embedding code runs and prints what the README says', async (t) => {
  const [code, printed] = [codeIn('Embed it'), printedIn('Embed it')];
  t.is(code, readFileSync('examples/embed.mjs', 'utf8'), 'the README shows examples/embed.mjs');
  const { room, done } = await run(t, code);
  t.is(done.stderr, '');
  t.is(done.status, 0);
  // How many disks are known to have it by then, and how many elections came before, is for the machine to say.
  const settled = (text: string): string => text.replace(/index \d+, on [23] disks/, 'index N, on M disks');
  t.is(settled(done.stdout), settled(printed));
  t.deepEqual(readdirSync(join(room, 'data')).sort(), ['a', 'b', 'c']);
});

test('the CRDT code runs and prints what the README says', (t) => {
  const title = 'CRDTs by themselves';
  t.is(codeIn(title), readFileSync('examples/crdt.mjs', 'utf8'), 'the README shows examples/crdt.mjs');
  const room = project(t);
  writeFileSync(join(room, 'crdt.mjs'), codeIn(title));
  const done = spawnSync(process.execPath, [join(room, 'crdt.mjs')], { cwd: room, encoding: 'utf8', timeout: 60_000 });
  t.is(done.stderr, '');
  t.is(done.stdout, printedIn(title));
});

test('the receipt is explained field by field', (t) => {
  const contract = readFileSync('src/contracts/coordinator.ts', 'utf8');
  const [receipt = ''] = /(?<=export interface Receipt \{)[\s\S]*?(?=\n\})/.exec(contract) ?? [];
  const fields = [...receipt.matchAll(/^ {2}readonly (\w+):/gm)].map(([, name]) => name);
  const explained = [...section('The receipt').matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
  t.true(fields.length > 0);
  t.deepEqual(explained, fields);
});

test('links between the documents lead to files', (t) => {
  const decisions = readdirSync('docs/decisions').map((name) => join('docs', 'decisions', name));
  const broken = ['README.md', 'docs/ARCHITECTURE.md', 'docs/glossary.md', ...decisions].flatMap((document) =>
    [...readFileSync(document, 'utf8').matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^https?:/.test(target) && !existsSync(resolve(dirname(document), target)))
      .map((target) => `${document}: ${target}`),
  );
  t.deepEqual(broken, []);
});

test('every command line in the README is one that exists', (t) => {
  const shown = new Set([...readme.matchAll(/\bvexcoord ((?:log |config )?[a-z]+)/g)].map(([, name = '']) => name));
  t.true(shown.size > 8);
  for (const name of shown) {
    const help = spawnSync(process.execPath, ['dist/cli/main.js', ...name.split(' '), '--help'], { encoding: 'utf8' });
    t.is(help.status, 0, `${name}: ${help.stderr}`);
    t.regex(help.stdout, new RegExp(`^Usage: vexcoord ${name}\\b`), name);
  }
});
