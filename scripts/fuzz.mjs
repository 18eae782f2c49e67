// `npm run fuzz -- TARGET [options] [files or folders]`, `-- all --minutes N`, `-- list`, `-- minimise TARGET` (docs/testing.md).
// Rust targets as `cargo fuzz run --sanitizer none` runs them, with the toolchain that builds everything else; those in TypeScript by
// test/fuzz. Plain Node without dependencies.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const home = join(root, 'native', 'fuzz');
const COVERAGE = ['level=4', 'inline-8bit-counters', 'pc-table', 'trace-compares'];
const MINUTES = 5;
const PROGRESS_MS = 15_000;
/** A target takes at most so much memory, and an input so long. */
const BOUNDS = ['-rss_limit_mb=2048', '-timeout=25'];

const stop = (code, sentence) => {
  process.stderr.write(`${code}: ${sentence}\n`);
  process.exit(2);
};

const rustTargets = () => {
  const names = readdirSync(join(home, 'fuzz_targets')).flatMap((file) => (file.endsWith('.rs') ? [file.slice(0, -3)] : []));
  const reads = readFileSync(join(root, 'native', 'targets', 'src', 'lib.rs'), 'utf8');
  return names.map((name) => ({ name, language: 'Rust', reads: new RegExp(`name: "${name}", reads: "([^"]+)"`).exec(reads)?.[1] ?? '' }));
};
const nodeTargets = () => {
  const listed = spawnSync(process.execPath, ['--import=tsx', 'test/fuzz/main.ts', '--list'], { cwd: root, encoding: 'utf8' });
  if (listed.status !== 0) stop('BUILD_FAILED', `the targets in TypeScript cannot be listed:\n${listed.stderr}`);
  return listed.stdout.trim().split('\n').map((line) => line.split('\t')).map(([name, reads]) => ({ name, language: 'TypeScript', reads }));
};
const targets = () => [...rustTargets(), ...nodeTargets()];

process.env.PATH = `${process.env.PATH}${delimiter}${join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'bin')}`;

/** Builds Rust targets; answers the folder of their programs. */
function build(names) {
  const host = /^host: (.+)$/m.exec(spawnSync('rustc', ['-vV'], { encoding: 'utf8' }).stdout ?? '')?.[1];
  if (host === undefined) stop('BUILD_FAILED', 'Rust is missing: install the toolchain from https://rustup.rs, then run this again');
  // A folder of its own for what is built: these flags fit nothing else. Naming the target keeps them from build scripts.
  const target = join(process.env.CARGO_TARGET_DIR ?? home, process.env.CARGO_TARGET_DIR === undefined ? 'target' : 'fuzz');
  const flags = ['--cfg', 'fuzzing', '-Cpasses=sancov-module', '-Ccodegen-units=1', ...COVERAGE.map((of) => `-Cllvm-args=-sanitizer-coverage-${of}`)];
  const built = spawnSync('cargo', ['build', '--locked', '--release', '--manifest-path', join(home, 'Cargo.toml'), ...names.flatMap((name) => ['--bin', name]), '--target', host, '--target-dir', target], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, CARGO_ENCODED_RUSTFLAGS: flags.join('\x1f') },
  });
  if (built.status !== 0) stop('BUILD_FAILED', `${names.join(', ')} cannot be built; what Cargo says is above`);
  return join(target, host, 'release');
}

/** What was found, what goes on being found, and what the repository keeps. */
function foldersOf({ name, language }) {
  const base = language === 'Rust' ? home : join(root, 'test', 'fuzz');
  const [artifacts, corpus, kept] = ['artifacts', 'corpus', 'kept'].map((of) => join(base, of, name));
  for (const folder of [artifacts, corpus, kept]) mkdirSync(folder, { recursive: true });
  return { artifacts, corpus, kept };
}

/** The program and arguments that fuzz a target for so long, or over what is given. */
function commandOf(target, folder, rest, seconds) {
  const { artifacts, corpus, kept } = foldersOf(target);
  const given = rest.some((argument) => !argument.startsWith('-'));
  if (target.language === 'TypeScript') {
    const time = seconds ?? /^-max_total_time=(\d+)$/.exec(rest.find((argument) => argument.startsWith('-max_total_time=')) ?? '')?.[1] ?? 60;
    return [process.execPath, ['--import=tsx', join(root, 'test', 'fuzz', 'main.ts'), target.name, '--seconds', String(time), '--corpus', corpus, '--artifacts', artifacts, ...rest.filter((argument) => !argument.startsWith('-'))]];
  }
  const time = seconds === undefined ? [] : [`-max_total_time=${seconds}`];
  return [join(folder, target.name), [`-artifact_prefix=${artifacts}/`, ...BOUNDS, ...time, ...rest, ...(given ? [] : [corpus, kept])]];
}

const running = new Set();
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => running.forEach((child) => void child.kill(signal)));

/** Runs it; `onLine` sees what it says. Answers its exit status. */
function run([program, args], onLine) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'inherit', onLine === undefined ? 'inherit' : 'pipe'] });
    running.add(child);
    let rest = '';
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      lines.forEach(onLine);
    });
    child.on('error', (error) => stop('FUZZ_FAILED', error.message));
    child.on('close', (status) => {
      running.delete(child);
      resolve(status ?? 2);
    });
  });
}

/** Each target for so long, one after the other; a line now and then, a table at the end. */
async function all(chosen, minutes) {
  const folder = chosen.some(({ language }) => language === 'Rust') ? build(chosen.filter(({ language }) => language === 'Rust').map(({ name }) => name)) : '';
  const rows = [];
  for (const target of chosen) {
    const row = { target: target.name, executions: 0, coverage: 0, inputs: 0, found: 'nothing' };
    const said = [];
    let told = Date.now();
    const status = await run(commandOf(target, folder, ['-print_final_stats=1'], Math.round(minutes * 60)), (line) => {
      said.push(line);
      if (said.length > 200) said.shift();
      const [, executions, coverage, inputs] = /^#(\d+)\s.*?cov: (\d+).*?corp: (\d+)/.exec(line) ?? [];
      if (executions === undefined) return;
      Object.assign(row, { executions: Number(executions), coverage: Number(coverage), inputs: Number(inputs) });
      if (Date.now() - told < PROGRESS_MS) return;
      told = Date.now();
      process.stderr.write(`${target.name}: ${row.executions} executions, ${row.coverage} covered, ${row.inputs} inputs\n`);
    });
    const executed = said.findLast((line) => line.startsWith('stat::number_of_executed_units'));
    if (executed !== undefined) row.executions = Number(/\d+$/.exec(executed)?.[0]);
    if (status !== 0) {
      process.stderr.write(`${said.slice(-60).join('\n')}\n`);
      row.found = /(?:Test unit written to |npm run fuzz -- \S+ )(\S+)/.exec(said.join('\n'))?.[1] ?? `ended with ${status}`;
    }
    rows.push(row);
    if (running.size > 0 || status === 130) break;
  }
  const head = ['target', 'executions', 'coverage', 'inputs', 'found'];
  const table = [head, ...rows.map((row) => head.map((name) => String(row[name])))];
  const widths = head.map((_, column) => Math.max(...table.map((cells) => cells[column].length)));
  for (const cells of table) process.stdout.write(`${cells.map((cell, column) => (column === 0 || column === 4 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join('  ').trimEnd()}\n`);
  return rows.length === chosen.length && rows.every(({ found }) => found === 'nothing') ? 0 : 1;
}

/** Leaves in the repository as few inputs as run between them all that those of either corpus do. */
async function minimise(target) {
  const { corpus, kept } = foldersOf(target);
  if (target.language === 'TypeScript') return run([process.execPath, ['--import=tsx', join(root, 'test', 'fuzz', 'main.ts'), target.name, '--minimise', '--corpus', corpus]]);
  const few = mkdtempSync(join(tmpdir(), 'vexcoord-fuzz-'));
  // By blocks, not by how often they run: that keeps a tenth of the files.
  const status = await run([join(build([target.name]), target.name), ['-set_cover_merge=1', '-use_counters=0', few, kept, corpus]]);
  if (status === 0) {
    rmSync(kept, { recursive: true });
    try {
      renameSync(few, kept);
    } catch {
      cpSync(few, kept, { recursive: true });
    }
  }
  rmSync(few, { recursive: true, force: true });
  return status;
}

const usage = 'npm run fuzz -- TARGET [options of libFuzzer] [files or folders], -- all [--minutes N] [TARGET...], -- minimise TARGET or -- list';
const [name, ...rest] = process.argv.slice(2);
if (name === undefined) stop('USAGE', usage);
const known = targets();
const find = (wanted) => known.find((target) => target.name === wanted) ?? stop('USAGE', `there is no target ${wanted}; npm run fuzz -- list names them`);
if (name === 'list') {
  for (const { name, language, reads } of known) process.stdout.write(`${name.padEnd(12)}${language.padEnd(12)}${reads}\n`);
} else if (name === 'all') {
  const at = rest.indexOf('--minutes');
  const minutes = at < 0 ? MINUTES : Number(rest.splice(at, 2)[1]);
  if (!(minutes > 0)) stop('USAGE', usage);
  process.exitCode = await all(rest.length === 0 ? known : rest.map(find), minutes);
} else if (name === 'minimise') {
  if (rest.length === 0) stop('USAGE', usage);
  for (const target of rest.map(find)) process.exitCode = (await minimise(target)) || process.exitCode;
} else {
  const target = find(name);
  const folder = target.language === 'Rust' ? build([name]) : '';
  if (rest.some((argument) => !argument.startsWith('-') && !existsSync(argument))) stop('USAGE', `one of ${rest.join(' ')} is not there`);
  process.exitCode = await run(commandOf(target, folder, rest));
}
