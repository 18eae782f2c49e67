import type { Command } from 'commander';
import { outputOption } from '../arguments.js';
import { type OutputFormat, writeJson } from '../output.js';
import { recordCommand } from '../trace/index.js';

interface Flags {
  readonly out: string;
  readonly root?: string;
  readonly output: OutputFormat;
}

export function registerRecord(program: Command): void {
  outputOption(
    program
      .command('record')
      .description("record a command's file activity with strace, for replay")
      .argument('<command...>', 'the command and its arguments, after --')
      .requiredOption('--out <file>', 'trace to write; packed when it ends in .gz')
      .option('--root <dir>', 'only what happens below it is recorded (default: the working directory)')
      .passThroughOptions()
      .addHelpText('after', '\nExample:\n  vexcoord record --out build.jsonl.gz -- make all')
      .action(record),
  );
}

/** The command keeps the terminal; a command that fails has been recorded all the same. */
async function record(command: string[], flags: Flags): Promise<void> {
  const { operations, exitStatus } = await recordCommand({ command, out: flags.out, ...(flags.root === undefined ? {} : { root: flags.root }) });
  if (flags.output === 'json') return writeJson({ out: flags.out, operations, exitStatus });
  const ending = exitStatus === 0 ? '' : `; ${command[0]} ended with status ${exitStatus}`;
  process.stderr.write(`Recorded ${operations} operations in ${flags.out}${ending}.\n`);
}
