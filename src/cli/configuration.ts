import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { describeConfig, type Flags, type LoadedConfig, loadConfig } from '../config/index.js';
import { CoordinatorError } from '../errors/index.js';
import { repeated, usage } from './arguments.js';

/** Parts of `security.tls` with a flag of their own. */
const TLS_FILES = ['ca', 'cert', 'key', 'revoked'] as const;

/** Adds a flag for every configuration name. Those few that a first start needs lead the help; the others follow in the document's order. */
export function configurationOptions(command: Command): Command {
  for (const { flag, default: value, repeatable, summary, allowed, unused } of describeConfig()) {
    const boolean = value === 'true' || value === 'false';
    const option = new Option(`${flag} ${boolean ? '[true|false]' : '<value>'}`, `${summary} (${allowed}${value === null ? '' : `; default ${value}`})`);
    if (repeatable) option.argParser(repeated());
    if (unused) option.hideHelp();
    command.addOption(option);
  }
  for (const part of TLS_FILES) command.option(`--tls-${part} <file>`, `short for ${part} of --security-tls`);
  command.option('--api-tokens <file>', 'short for tokens of --security-api');
  return command.option('--insecure', 'short for --security-insecure');
}

/** The configuration from a file (none: null), the environment and the flags of `configurationOptions`. */
export function configurationOf(file: string | null, flags: Record<string, unknown>): LoadedConfig {
  const { insecure, apiTokens, ...rest } = flags;
  const given = TLS_FILES.flatMap((part) => {
    const path = rest[`tls${part[0]?.toUpperCase()}${part.slice(1)}`];
    return typeof path === 'string' ? [[part, path] as const] : [];
  });
  if (given.length > 0 && rest['securityTls'] !== undefined) throw usage('--security-tls and --tls-… say the same; give one of them');
  if (apiTokens !== undefined && rest['securityApi'] !== undefined) throw usage('--security-api and --api-tokens say the same; give one of them');
  return loadConfig({
    ...(file === null ? {} : { fileText: readText(file), fileName: file }),
    env: process.env,
    flags: {
      ...(rest as Flags),
      ...(insecure === true ? { 'security-insecure': 'true' } : {}),
      ...(given.length > 0 ? { 'security-tls': JSON.stringify(Object.fromEntries(given)) } : {}),
      ...(apiTokens === undefined ? {} : { 'security-api': JSON.stringify({ tokens: apiTokens }) }),
    },
  });
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new CoordinatorError('CONFIG_INVALID', `the configuration file ${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}
