import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { parse } from 'yaml';
import type { AgreedReplication, ReplicationRules } from '../../contracts/index.js';
import { CoordinatorError } from '../../errors/index.js';
import { jsonOf } from '../../events/index.js';
import { apiOption, outputOption, timeoutOption } from '../arguments.js';
import { type ApiFlags, firstAnswer } from '../nodes.js';
import { type OutputFormat, table, writeJson, writeLine } from '../output.js';

interface ReplicationFlags extends ApiFlags {
  readonly output: OutputFormat;
  readonly timeoutMs: number;
}

export function registerReplication(program: Command): void {
  const replication = program
    .command('replication')
    .description('show and set which members hold which events of the causal lane')
    .addHelpText('after', '\nExample:\n  vexcoord replication set rules.yaml && vexcoord replication show');
  const command = (name: string, description: string, example: string): Command => {
    const made = replication.command(name).description(description).addHelpText('after', `\nExample:\n  ${example}`);
    return timeoutOption(apiOption(outputOption(made)), 'how long to wait for the cluster');
  };
  command('show', 'show the rules that are in effect', 'vexcoord replication show --api 127.0.0.1:7401').action(show);
  command('set', 'replace all rules by those of a file', 'vexcoord replication set rules.yaml')
    .argument('<file>', '{regions?: {NAME: [NODE, ...]}, rules: [{name, match?: {type?, path?, priority?}, holders: {nodes?, regions?}}, ...]} in YAML or JSON')
    .action(set);
}

async function show(flags: ReplicationFlags): Promise<void> {
  await write(await firstAnswer(flags, (client) => client.replication({ timeoutMs: flags.timeoutMs })), flags);
}

async function set(file: string, flags: ReplicationFlags): Promise<void> {
  const rules = read(file);
  await write(await firstAnswer(flags, (client) => client.setReplication(rules, { timeoutMs: flags.timeoutMs })), flags);
}

/** What rules have to be like is the node's to say. */
function read(file: string): ReplicationRules {
  try {
    return parse(readFileSync(file, 'utf8')) as ReplicationRules;
  } catch (cause) {
    throw new CoordinatorError('REPLICATION_INVALID', `${file} cannot be read: ${cause instanceof Error ? cause.message.split('\n')[0] : String(cause)}`, { cause });
  }
}

async function write(agreed: AgreedReplication, flags: ReplicationFlags): Promise<void> {
  if (flags.output === 'json') return writeJson(jsonOf(agreed) as object);
  if (agreed.rules.length === 0) return writeLine('Every member holds everything.');
  const words = (value: unknown): string => (value === undefined ? 'any' : [value].flat().join(' '));
  const rows = agreed.rules.map(({ name, match, holders }) => {
    const named = [...(holders.nodes ?? []), ...(holders.regions ?? []).map((region) => `region ${region}`)];
    return [name, words(match?.type), words(match?.path), words(match?.priority), named.length === 0 ? 'voters alone' : named.join(', ')];
  });
  await writeLine(table(rows, ['rule', 'type', 'path', 'priority', 'held by']));
  await writeLine(`version ${agreed.version}; voters hold everything, and so does who wrote it`);
}
