import type { Command } from 'commander';
import type { Receipt } from '../../contracts/index.js';
import { outcomeToJson } from '../../events/index.js';
import { apiOption, groupOption, outputOption, timeoutOption } from '../arguments.js';
import { type ApiFlags, firstAnswer } from '../nodes.js';
import { type OutputFormat, writeJson, writeLine } from '../output.js';

interface OutcomeFlags extends ApiFlags {
  readonly output: OutputFormat;
  readonly group: number;
  readonly timeoutMs: number;
}

export function registerOutcome(program: Command): void {
  const command = program
    .command('outcome')
    .description('say what became of an event: committed with its receipt, absent for good, or unknown')
    .argument('<id>', 'event id, a UUID')
    .addHelpText('after', '\nExample:\n  vexcoord outcome 01890a5d-ac96-774b-bcce-b302099a8057')
    .action(outcome);
  timeoutOption(groupOption(apiOption(outputOption(command))), 'how long to wait for certainty');
}

async function outcome(id: string, flags: OutcomeFlags): Promise<void> {
  const answer = await firstAnswer(flags, (client) => client.outcome(id, { group: flags.group, timeoutMs: flags.timeoutMs }));
  if (flags.output === 'json') return writeJson(outcomeToJson(answer));
  await writeLine(`${id} is ${answer.state}${answer.receipt === undefined ? '' : whereIs(answer.receipt)}.`);
}

function whereIs({ lane, index, offset, term, durableMembers }: Receipt): string {
  if (lane === 'causal') return ` in the causal lane, at entry ${index} of its writer's log, offset ${offset}`;
  return ` at index ${index}, offset ${offset}, term ${term}, on ${durableMembers} disks`;
}
