// `npm run fuzz -- TARGET [libFuzzer's options] [corpus]`: builds a target of native/fuzz and runs it (docs/testing.md).
// As `cargo fuzz run --sanitizer none` does it, with the toolchain that builds everything else. Plain Node without dependencies.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const home = join(dirname(dirname(fileURLToPath(import.meta.url))), 'native', 'fuzz');
const COVERAGE = ['level=4', 'inline-8bit-counters', 'pc-table', 'trace-compares'];

const stop = (code, sentence) => {
  process.stderr.write(`${code}: ${sentence}\n`);
  process.exit(2);
};

const [name, ...rest] = process.argv.slice(2);
if (name === undefined || !/^[a-z0-9_]+$/.test(name)) stop('USAGE', 'npm run fuzz -- TARGET [options of libFuzzer] [files or folders]; targets are in native/fuzz/fuzz_targets');

process.env.PATH = `${process.env.PATH}${delimiter}${join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'bin')}`;
const host = /^host: (.+)$/m.exec(spawnSync('rustc', ['-vV'], { encoding: 'utf8' }).stdout ?? '')?.[1];
if (host === undefined) stop('BUILD_FAILED', 'Rust is missing: install the toolchain from https://rustup.rs, then run this again');

// A folder of its own for what is built: these flags fit nothing else. Naming the target keeps them from build scripts.
const target = join(process.env.CARGO_TARGET_DIR ?? home, process.env.CARGO_TARGET_DIR === undefined ? 'target' : 'fuzz');
const flags = ['--cfg', 'fuzzing', '-Cpasses=sancov-module', '-Ccodegen-units=1', ...COVERAGE.map((of) => `-Cllvm-args=-sanitizer-coverage-${of}`)];
const build = spawnSync('cargo', ['build', '--locked', '--release', '--manifest-path', join(home, 'Cargo.toml'), '--bin', name, '--target', host, '--target-dir', target], {
  stdio: ['ignore', 'inherit', 'inherit'],
  env: { ...process.env, CARGO_ENCODED_RUSTFLAGS: flags.join('\x1f') },
});
if (build.status !== 0) stop('BUILD_FAILED', `the target ${name} does not build; what Cargo says is above`);

const [artifacts, corpus] = ['artifacts', 'corpus'].map((of) => join(home, of, name));
for (const folder of [artifacts, corpus]) mkdirSync(folder, { recursive: true });
const given = rest.some((argument) => !argument.startsWith('-'));
const fuzz = spawn(join(target, host, 'release', name), [`-artifact_prefix=${artifacts}/`, ...rest, ...(given ? [] : [corpus])], { stdio: 'inherit' });
// libFuzzer ends on SIGINT itself, and says where it was.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => fuzz.kill('SIGTERM'));
fuzz.on('error', (error) => stop('FUZZ_FAILED', error.message));
fuzz.on('close', (status) => process.exit(status ?? 2));
