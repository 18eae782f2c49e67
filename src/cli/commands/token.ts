import { type Command, Option } from 'commander';
import { TOKEN_ROLES, type TokenRole } from '../../config/index.js';
import type { TokenRecord } from '../../network/index.js';
import { memberId, nonEmpty, outputOption, wholeNumber } from '../arguments.js';
import { facts, type OutputFormat, table, writeJson, writeLine } from '../output.js';
import { TokenDirectory } from '../token/directory.js';

interface OfDirectory {
  readonly dir: string;
  readonly output: OutputFormat;
}

interface CreateFlags extends OfDirectory {
  readonly name: string;
  readonly role: TokenRole;
  readonly clusterId: string;
  readonly days?: number;
}

const DAYS_MAX = 3_650;

export function registerToken(program: Command): void {
  const token = program
    .command('token')
    .description('make, list and revoke the tokens that callers of the API may show in the place of a certificate')
    .addHelpText('after', '\nExample:\n  vexcoord token create --dir ./tokens --name deploy --role operator --days 90');
  const create = token
    .command('create')
    .description('make a token, and put its hash into the file that nodes read (security.api.tokens); the token itself is in a file of its own, and nowhere else')
    .addOption(new Option('--role <role>', 'what its holder may do').choices(TOKEN_ROLES).makeOptionMandatory())
    .option('--cluster-id <id>', 'the cluster that it is for', memberId, 'vexfs')
    .option('--days <n>', 'how long it is good (default: until it is revoked)', wholeNumber(1, DAYS_MAX))
    .addHelpText('after', '\nExample:\n  vexcoord token create --dir ./tokens --name deploy --role operator --days 90\n  vexcoord status --api 10.0.0.1:7401 --tls-ca ca.crt --token-file ./tokens/deploy.token')
    .action(createToken);
  const list = token.command('list').description('say who has tokens, and until when').addHelpText('after', '\nExample:\n  vexcoord token list --dir ./tokens').action(listTokens);
  const revoke = token
    .command('revoke')
    .description('put the end of a token into the file that nodes read; they cut who uses it')
    .addHelpText('after', '\nExample:\n  vexcoord token revoke --dir ./tokens --name deploy')
    .action(revokeToken);
  for (const command of [create, list, revoke]) outputOption(command).requiredOption('--dir <dir>', 'where the tokens are', nonEmpty);
  for (const command of [create, revoke]) command.requiredOption('--name <name>', 'of its holder', memberId);
}

async function createToken({ dir, name, role, clusterId, days, output }: CreateFlags): Promise<void> {
  const directory = new TokenDirectory(dir);
  const { token, record } = await directory.create({ clusterId, name }, role, days ?? null);
  const made = { tokens: directory.tokens, token, name, role, expires: isoOf(record.expiresMs) };
  if (output === 'json') return writeJson(made);
  await writeLine(facts([['tokens', made.tokens], ['token', token], ['good', made.expires === null ? 'until it is revoked' : `until ${made.expires}`]]));
}

async function listTokens({ dir, output }: OfDirectory): Promise<void> {
  const records = await new TokenDirectory(dir).list();
  const tokens = records.map((record) => ({
    name: record.name,
    role: record.role,
    state: stateOf(record, Date.now()),
    created: isoOf(record.createdMs),
    expires: isoOf(record.expiresMs),
    revoked: isoOf(record.revokedMs),
  }));
  if (output === 'json') return writeJson({ tokens });
  await writeLine(table(tokens.map(({ name, role, state, created, expires, revoked }) => [name, role, state, created ?? '-', expires ?? '-', revoked ?? '-']), ['name', 'role', 'state', 'created', 'expires', 'revoked']));
}

async function revokeToken({ dir, name, output }: OfDirectory & { readonly name: string }): Promise<void> {
  const directory = new TokenDirectory(dir);
  await directory.revoke(name);
  if (output === 'json') return writeJson({ tokens: directory.tokens, name });
  await writeLine(`${directory.tokens} says that the token of ${name} was revoked; nodes whose security.api.tokens it is refuse it, and cut who uses it.`);
}

function stateOf({ expiresMs, revokedMs }: TokenRecord, nowMs: number): 'good' | 'expired' | 'revoked' {
  if (revokedMs !== null) return 'revoked';
  return expiresMs !== null && nowMs > expiresMs ? 'expired' : 'good';
}

const isoOf = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
