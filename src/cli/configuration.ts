import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { describeConfig, type Flags, type LoadedConfig, loadConfig } from '../config/index.js';
import { CoordinatorError } from '../errors/index.js';
import { repeated } from './arguments.js';

/** Adds a flag for every configuration name. Those few that a first start needs lead the help; the others follow in the document's order. */
export function configurationOptions(command: Command): Command {
  for (const { flag, default: value, repeatable, summary, allowed, unused } of describeConfig()) {
    const boolean = value === 'true' || value === 'false';
    const option = new Option(`${flag} ${boolean ? '[true|false]' : '<value>'}`, `${summary} (${allowed}${value === null ? '' : `; default ${value}`})`);
    if (repeatable) option.argParser(repeated);
    if (unused) option.hideHelp();
    command.addOption(option);
  }
  return command.option('--insecure', 'short for --security-insecure');
}

/** The configuration from a file (none: null), the environment and the flags of `configurationOptions`. */
export function configurationOf(file: string | null, flags: Record<string, unknown>): LoadedConfig {
  const { insecure, ...rest } = flags;
  return loadConfig({
    ...(file === null ? {} : { fileText: readText(file), fileName: file }),
    env: process.env,
    flags: { ...(rest as Flags), ...(insecure === true ? { 'security-insecure': 'true' } : {}) },
  });
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new CoordinatorError('CONFIG_INVALID', `the configuration file ${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}
