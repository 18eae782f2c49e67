import type { Command } from 'commander';
import { LevelRules } from '../../coordinator/index.js';
import { CoordinatorError } from '../../errors/index.js';
import { Catalogue } from '../../events/index.js';
import { outputOption } from '../arguments.js';
import { configurationOf, configurationOptions } from '../configuration.js';
import { type OutputFormat, table, writeJson, writeLine } from '../output.js';

interface CheckFlags {
  readonly output: OutputFormat;
}

interface ShowFlags extends CheckFlags {
  readonly origin?: boolean;
}

export function registerConfig(program: Command): void {
  const config = program
    .command('config')
    .description('check or show a configuration without starting anything')
    .addHelpText('after', '\nExample:\n  vexcoord config check node.yaml');
  const checkCommand = config
    .command('check')
    .description('check a configuration file together with the environment and flags')
    .argument('<file>', 'JSON or YAML')
    .addHelpText('after', '\nExample:\n  vexcoord config check node.yaml --node-id a')
    .action(check);
  configurationOptions(outputOption(checkCommand));
  const showCommand = config
    .command('show')
    .description('show the configuration a node would start with')
    .argument('[file]', 'JSON or YAML')
    .option('--origin', 'say of every value where it comes from')
    .addHelpText('after', '\nExample:\n  vexcoord config show --origin node.yaml')
    .action(show);
  configurationOptions(outputOption(showCommand));
}

async function check(file: string, flags: CheckFlags): Promise<void> {
  const { output, ...names } = flags;
  try {
    const { config, warnings } = configurationOf(file, names);
    // What a start refuses besides: types and globs that the rules' `match` names.
    new LevelRules(config.levels, new Catalogue(config.eventTypes));
    if (output === 'json') return await writeJson({ ok: true, nodeId: config.nodeId, warnings });
    await writeLine(`${file} is a valid configuration for the node ${config.nodeId}.`);
    for (const warning of warnings) await writeLine(`Note: ${warning}`);
  } catch (thrown) {
    const error = CoordinatorError.from(thrown);
    if (output === 'json') await writeJson({ ok: false, code: error.code, problems: error.details?.problems ?? [{ message: error.message }] });
    throw error;
  }
}

async function show(file: string | undefined, flags: ShowFlags): Promise<void> {
  const { output, origin, ...names } = flags;
  const { config, origins } = configurationOf(file ?? null, names);
  const values = [...origins].map(([name, from]) => ({ name, value: valueAt(config, name), origin: from.label }));
  if (output === 'json') {
    return writeJson(origin ? Object.fromEntries(values.map(({ name, value, origin: from }) => [name, { value, origin: from }])) : config);
  }
  const rows = values.map(({ name, value, origin: from }) => [name, JSON.stringify(value) ?? '', ...(origin ? [from] : [])]);
  await writeLine(table(rows, ['name', 'value', ...(origin ? ['origin'] : [])]));
}

function valueAt(tree: unknown, name: string): unknown {
  return name.split('.').reduce<unknown>((section, key) => (section as Record<string, unknown> | undefined)?.[key], tree);
}
