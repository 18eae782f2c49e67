// Brings a bare clone to where `npm start` and `npm test` can run: packages, native addon, compiled TypeScript.
// Plain Node without dependencies, since it runs before they are installed. Each step is skipped when nothing it reads has changed.
//
//   node scripts/prepare.mjs [--test] [--quiet]     --test also type-checks and builds the tests; --quiet says nothing unless a step runs long or fails
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { messagesCommand } from './messages.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const flags = new Set(process.argv.slice(2));
const NODE_MIN = [20, 19];
const RUST_MIN = [1, 85];

const at = (...parts) => join(root, ...parts);
const stop = (sentence) => {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
};
const olderThan = (version, min) => version[0] < min[0] || (version[0] === min[0] && version[1] < min[1]);
const numbers = (text) => (text.match(/(\d+)\.(\d+)/) ?? []).slice(1).map(Number);

/** Runs a step and says what it was and how long it took; its output appears only when it fails. */
function step(name, command, args, options = {}) {
  const began = Date.now();
  if (!flags.has('--quiet')) process.stdout.write(`${name} … `);
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  const time = `${((Date.now() - began) / 1000).toFixed(1)} s`;
  if (done.status === 0) {
    if (!flags.has('--quiet')) process.stdout.write(`${time}\n`);
    return;
  }
  if (!flags.has('--quiet')) process.stdout.write(`failed after ${time}\n`);
  process.stderr.write(`${done.stdout ?? ''}${done.stderr ?? ''}`);
  stop(`${name} failed: ${done.error?.message ?? `${[command, ...args].join(' ')} ended with ${done.signal ?? `status ${done.status}`}`}`);
}

/** Newest modification below the given files and folders, in milliseconds since 1970. */
function newest(paths, wanted) {
  let latest = 0;
  for (const path of paths) {
    const info = statSync(path, { throwIfNoEntry: false });
    if (info === undefined) continue;
    if (!info.isDirectory()) latest = Math.max(latest, info.mtimeMs);
    else {
      for (const entry of readdirSync(path, { withFileTypes: true })) {
        if (['target', 'dist', 'node_modules', '.git'].includes(entry.name)) continue;
        if (entry.isDirectory() || wanted.test(entry.name)) latest = Math.max(latest, newest([join(path, entry.name)], wanted));
      }
    }
  }
  return latest;
}

/** A stamp carries the moment its step began, so that a source changed during the step is newer than it. */
function stamp(path, beganMs) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '');
  utimesSync(path, beganMs / 1000, beganMs / 1000);
}
const stampedMs = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

function checkTools() {
  if (olderThan(numbers(process.versions.node), NODE_MIN)) {
    stop(`Node ${process.versions.node} is too old: install Node ${NODE_MIN.join('.')} or newer from https://nodejs.org.`);
  }
  // rustup installs into ~/.cargo/bin, which a shell started before it does not search yet.
  const cargoHome = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'bin');
  process.env.PATH = `${process.env.PATH}${delimiter}${cargoHome}`;
  const cargo = spawnSync('cargo', ['--version'], { cwd: root, encoding: 'utf8' });
  if (cargo.status !== 0) stop('Cargo is missing: install the Rust toolchain from https://rustup.rs, then run this again.');
  if (olderThan(numbers(cargo.stdout), RUST_MIN)) {
    stop(`${cargo.stdout.trim()} is too old: run "rustup update" to get Rust ${RUST_MIN.join('.')} or newer.`);
  }
  if (spawnSync('cc', ['--version']).error !== undefined) {
    stop('A C linker is missing: install one (on Debian and Ubuntu: apt-get install build-essential), then run this again.');
  }
}

/** npm as it was called, or the one on the path. */
function npm() {
  const script = process.env.npm_execpath;
  if (script?.endsWith('.js') && existsSync(script)) return [process.execPath, [script]];
  if (spawnSync('npm', ['--version']).error !== undefined) stop('npm is missing: install it (it comes with Node from https://nodejs.org), then run this again.');
  return ['npm', []];
}

/** Whether what is installed is what the lock file says; platform packages of other platforms may be absent. */
function packagesCurrent() {
  try {
    const wanted = JSON.parse(readFileSync(at('package-lock.json'), 'utf8')).packages;
    const present = JSON.parse(readFileSync(at('node_modules', '.package-lock.json'), 'utf8')).packages;
    return Object.entries(wanted).every(([path, { version, optional }]) => {
      if (path === '') return true;
      const found = present[path];
      return found === undefined ? optional === true : found.version === version;
    });
  } catch {
    return false;
  }
}

function installPackages() {
  if (packagesCurrent()) return;
  const [command, args] = npm();
  // No package that the product needs does anything at install time; the one that compiles (zstd-napi) is an oracle of tests, which do without.
  step('Installing npm packages', command, [...args, 'ci', '--ignore-scripts', '--no-audit', '--no-fund']);
}

function buildNative() {
  const built = at('native', 'binding', 'dist', '.built');
  const sources = newest([at('native'), at('.cargo')], /\.(rs|toml|lock|proto)$/);
  const addon = existsSync(dirname(built)) && readdirSync(dirname(built)).some((name) => name.endsWith('.node'));
  if (addon && stampedMs(built) > sources) return;
  const began = Date.now();
  const script = JSON.parse(readFileSync(at('package.json'), 'utf8')).scripts['build:native'].split(' ');
  step('Building the native addon (some minutes the first time)', process.execPath, [
    at('node_modules', '@napi-rs', 'cli', 'dist', 'cli.js'),
    ...script.slice(1),
  ]);
  stamp(built, began);
}

/** Removes compiled files whose source is gone, which tsc leaves behind. */
function sweep(folder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) sweep(path);
    else {
      const source = relative(at('dist'), path).replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts');
      if (source.endsWith('.ts') && !existsSync(at('src', source))) rmSync(path);
    }
  }
}

const tsc = (project) => [at('node_modules', 'typescript', 'bin', 'tsc'), '-p', project];

function buildTypeScript() {
  const built = at('dist', '.built');
  const sources = [at('src'), at('proto', 'peer.proto'), at('scripts', 'messages.mjs'), at('tsconfig.json'), at('tsconfig.base.json'), at('package-lock.json'), at('native', 'binding', 'dist', 'index.d.ts')];
  if (stampedMs(built) > newest(sources, /\.(ts|json)$/)) return;
  const began = Date.now();
  sweep(at('dist'));
  step('Compiling TypeScript', process.execPath, tsc('tsconfig.json'));
  step('Writing the code of messages', process.execPath, messagesCommand());
  stamp(built, began);
}

checkTools();
installPackages();
buildNative();
buildTypeScript();
if (flags.has('--test')) {
  step('Type-checking the tests', process.execPath, tsc('tsconfig.test.json'));
  // First of all, since tests in TypeScript run the simulator that these build: Cargo's lock lets nobody else build meanwhile.
  step('Building the tests in Rust (some minutes the first time)', 'cargo', ['test', '--no-run', '--workspace', '--manifest-path', at('native', 'Cargo.toml')]);
}
