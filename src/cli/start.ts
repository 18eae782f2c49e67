#!/usr/bin/env node
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { CoordinatorError } from '../errors/index.js';
import { outputOption, wholeNumber } from './arguments.js';
import { Demonstration } from './demo/demonstration.js';
import { describeKept, describeResult, resultToJson } from './demo/report.js';
import { type OutputFormat, writeJson, writeLine } from './output.js';
import { runAndExit } from './run.js';
import { interruption } from './signals.js';

const TRACE = fileURLToPath(new URL('../../examples/traces/git-session.jsonl.gz', import.meta.url));

interface Flags {
  readonly trace: string;
  readonly dir?: string;
  readonly limit?: number;
  readonly rate: number | null;
  readonly keep?: boolean;
  readonly output: OutputFormat;
}

async function start(flags: Flags): Promise<void> {
  const signal = interruption();
  const demonstration = new Demonstration({
    trace: flags.trace,
    directory: flags.dir ?? null,
    limit: flags.limit ?? null,
    rate: flags.rate,
    keep: flags.keep ?? false,
    signal,
  });
  // The last resort: whatever ends this process ends the members first.
  let success = false;
  const lastly = (): void => demonstration.cleanUp(success);
  process.once('exit', lastly);
  process.stderr.write(`Three nodes in three processes, their files in ${demonstration.directory}\n`);
  try {
    const result = await demonstration.run();
    success = result.error === null;
    const kept = success && flags.keep ? (demonstration.cluster?.members ?? []) : [];
    if (flags.output === 'json') await writeJson(resultToJson(result, kept) as object);
    else await writeLine(describeResult(result));
    if (kept.length > 0 && flags.output === 'table') await writeLine(describeKept(kept, result.receiptsFile));
    if (result.error !== null) throw result.error;
  } catch (thrown) {
    if (signal.aborted) throw new CoordinatorError('ABORTED', 'interrupted; the nodes have been stopped');
    throw thrown;
  } finally {
    if (!success) process.stderr.write(`The nodes' files and logs are in ${demonstration.directory}\n`);
    demonstration.cleanUp(success);
    process.off('exit', lastly);
  }
}

function rate(text: string): number | null {
  if (text === 'max') return null;
  if (!(Number(text) > 0)) throw new InvalidArgumentError('It must be max or a number above 0.');
  return Number(text);
}

runAndExit(
  outputOption(
    new Command('npm start --')
      .description('Three coordinators replay a recorded session; the leader is killed half-way and comes back; the outcome is verified from the files.')
      .helpOption('--help', 'explain the options')
      .option('--trace <file>', 'recorded activity', TRACE)
      .option('--dir <dir>', 'where the nodes keep their files (default: a temporary directory, removed on success)')
      .option('--limit <n>', 'operations of the trace at most', wholeNumber(100, Number.MAX_SAFE_INTEGER))
      .option('--rate <n|max>', 'events a second', rate, null)
      .option('--keep', 'leave the cluster up and say how to reach it')
      .addHelpText('after', '\nExample:\n  npm start -- --limit 2000 --keep')
      .action(start),
  ),
);
