import type { Command } from 'commander';
import { apiOption, outputOption, timeoutOption, wholeNumber } from '../arguments.js';
import { type ApiFlags, firstAnswer } from '../nodes.js';
import { type OutputFormat, writeJson, writeLine } from '../output.js';

interface TransferFlags extends ApiFlags {
  readonly group?: number;
  readonly output: OutputFormat;
  readonly timeoutMs: number;
}

export function registerLeader(program: Command): void {
  const leader = program.command('leader').description('say who leads').addHelpText('after', '\nExample:\n  vexcoord leader transfer b');
  const command = leader
    .command('transfer')
    .description('have a voter lead, without a gap that an election would leave')
    .argument('<id>', 'the voter')
    .option('--group <n>', 'ordered group (default: all)', wholeNumber(0, 0xffff_ffff))
    .addHelpText('after', '\nExample:\n  vexcoord leader transfer b --api 127.0.0.1:7401')
    .action(transfer);
  timeoutOption(apiOption(outputOption(command)), 'how long to wait until it leads');
}

async function transfer(id: string, flags: TransferFlags): Promise<void> {
  const group = flags.group === undefined ? {} : { group: flags.group };
  await firstAnswer(flags, (client) => client.transferLeadership(id, { ...group, timeoutMs: flags.timeoutMs }));
  if (flags.output === 'json') return writeJson({ leader: id, ...group });
  await writeLine(flags.group === undefined ? `${id} leads.` : `${id} leads group ${flags.group}.`);
}
