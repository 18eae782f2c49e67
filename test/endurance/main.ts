/** `npm run endurance` (docs/testing.md). Progress goes to the standard error, one line of figures a run to the standard output. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import type { Context, Figures } from './context.js';
import { help, type Options, parseOptions } from './options.js';
import type { Run } from './runs.js';

const progress = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

/** Runs one and undoes what it has started, last things first, also where it failed. */
async function endure(run: Run, options: Options): Promise<boolean> {
  const reason = run.missing?.() ?? null;
  if (reason !== null) {
    progress(`${run.name}: not run: ${reason}`);
    return false;
  }
  mkdirSync(options.directory, { recursive: true });
  const directory = mkdtempSync(join(options.directory, `vexcoord-endurance-${run.name}-`));
  const undo: (() => void | Promise<void>)[] = [];
  const began = performance.now();
  const elapsed = (): string => `${((performance.now() - began) / 1000).toFixed(0)} s`;
  const context: Context = {
    seed: options.seed,
    directory,
    progress: (line) => progress(`${run.name} ${elapsed()}: ${line}`),
    teardown: (fn) => void undo.push(fn),
  };
  progress(`${run.name}: ${run.summary}; seed ${options.seed}`);
  let figures: Figures | null = null;
  try {
    figures = await run.run(context, options);
  } catch (error) {
    progress(`${run.name} FAILED after ${elapsed()}, seed ${options.seed}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    if (error instanceof Error && error.cause !== undefined && error.cause !== null) progress(`because of ${String(error.cause)}`);
  }
  for (const fn of undo.reverse()) await fn();
  if (figures === null || options.keep) progress(`${run.name}: the files are in ${directory}`);
  else rmSync(directory, { recursive: true, force: true });
  const held = figures !== null;
  const shown = { seed: options.seed, seconds: Math.round((performance.now() - began) / 1000), ...figures };
  if (options.json) process.stdout.write(`${JSON.stringify({ run: run.name, held, ...shown })}\n`);
  else process.stdout.write(`${run.name}: ${held ? 'nothing acknowledged is lost or doubled' : 'FAILED'}; ${Object.entries(shown).map(([name, value]) => `${name} ${value}`).join('; ')}\n`);
  return held;
}

async function main(): Promise<number> {
  let options: Options;
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    progress(error instanceof Error ? error.message : String(error));
    return 2;
  }
  if (options.help) {
    process.stdout.write(help());
    return 0;
  }
  setLogVerbosity(logVerbosity.NONE);
  let held = true;
  for (const run of options.runs) held = (await endure(run, options)) && held;
  return held ? 0 : 1;
}

// Members end with this process: their channel to it is gone. Until it is known better, an event loop that runs empty is a failure.
process.exitCode = 1;
void main().then((status) => process.exit(status));
