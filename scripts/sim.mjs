// `npm run sim`: builds the simulator where it is not up to date, then runs it with the arguments given (docs/simulator.md).
// Plain Node without dependencies: it needs the Rust toolchain alone.
import { spawn, spawnSync } from 'node:child_process';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** Of Cargo. Checks name `dev`: the simulator as `cargo test` builds it, so that nothing is built twice. */
const PROFILE = process.env.SIM_PROFILE ?? 'sim';
const BUILD = PROFILE === 'dev' ? ['test', '--no-run', '--workspace', '--test', 'cli'] : ['build', '--profile', PROFILE, '-p', 'vexfs-sim'];
/** A build that takes longer says that it builds. */
const QUIET_MS = 1_500;

const stop = (code, sentence) => {
  process.stderr.write(`${code}: ${sentence}\n`);
  process.exit(2);
};

/** Cargo itself knows best what is out of date; its output appears only when it fails. */
async function build() {
  // rustup installs into ~/.cargo/bin, which a shell started before it does not search yet.
  process.env.PATH = `${process.env.PATH}${delimiter}${join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'bin')}`;
  if (spawnSync('cargo', ['--version']).status !== 0) {
    stop('BUILD_FAILED', 'Cargo is missing: install the Rust toolchain from https://rustup.rs, then run this again');
  }
  const manifest = join(root, 'native', 'Cargo.toml');
  const cargo = spawn('cargo', [...BUILD, '--quiet', '--manifest-path', manifest], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  cargo.stderr.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  const told = setTimeout(() => process.stderr.write('Building the simulator (one to two minutes the first time) …\n'), QUIET_MS);
  const status = await new Promise((resolve) => cargo.on('close', resolve));
  clearTimeout(told);
  if (status !== 0) {
    process.stderr.write(output);
    stop('BUILD_FAILED', 'the simulator does not build; what Cargo says is above');
  }
}

await build();
const target = process.env.CARGO_TARGET_DIR ?? join(root, 'native', 'target');
const sim = spawn(join(target, PROFILE === 'dev' ? 'debug' : PROFILE, 'vexfs-sim'), process.argv.slice(2), { stdio: 'inherit' });
// A terminal sends its signals to both; others send them to this process alone. The simulator decides what they mean.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => sim.kill('SIGTERM'));
sim.on('error', (error) => stop('SIM_FAILED', error.message));
sim.on('close', (status, signal) => {
  if (signal === null) process.exit(status);
  stop('SIM_FAILED', `the simulator was ended by ${signal}`);
});
