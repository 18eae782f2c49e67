import { parse, YAMLParseError } from 'yaml';
import { nearest } from '../errors/index.js';
import { valueOfText } from './leaf.js';
import { CONFIG_NAMES, NAME_BY_PATH, SECTIONS } from './names.js';

/** Where a value came from; `label` is how a sentence speaks of it. */
export interface Origin {
  readonly source: 'default' | 'file' | 'environment' | 'flag' | 'argument';
  readonly label: string;
}

/** One thing that is wrong with the configuration. */
export interface Problem {
  readonly code: 'CONFIG_INVALID' | 'ADDRESS_REFUSED';
  readonly name: string;
  readonly origin: Origin;
  /** The whole mistake in one sentence. */
  readonly message: string;
}

/** Values of one source by configuration name. */
export interface Source {
  readonly values: ReadonlyMap<string, { readonly value: unknown; readonly origin: Origin }>;
  readonly problems: readonly Problem[];
}

type Values = Map<string, { value: unknown; origin: Origin }>;

const suggest = (name: string, known: Iterable<string>): string => {
  const close = nearest(name, known);
  return close === null ? '' : `; did you mean ${close}?`;
};
const sentence = (text: string): string => (/[.?]$/.test(text) ? text : `${text}.`);
const unknown = (name: string, origin: Origin, what: string, close: string): Problem => ({
  code: 'CONFIG_INVALID',
  name,
  origin,
  message: sentence(`${name} (${origin.label}) is not ${what}${close}`),
});

const isSection = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function flatten(tree: Record<string, unknown>, path: readonly string[], origin: Origin, values: Values, problems: Problem[]): void {
  for (const [key, value] of Object.entries(tree)) {
    const name = [...path, key].join('.');
    if (value === undefined) continue;
    if (NAME_BY_PATH.has(name)) values.set(name, { value, origin });
    else if (!SECTIONS.has(name)) {
      problems.push(unknown(name, origin, 'a configuration name', suggest(name, NAME_BY_PATH.keys())));
    } else if (isSection(value)) flatten(value, [...path, key], origin, values, problems);
    else {
      problems.push({
        code: 'CONFIG_INVALID',
        name,
        origin,
        message: `${name} (${origin.label}) is ${JSON.stringify(value)}; allowed: an object with names of its own.`,
      });
    }
  }
}

/** A nested object of configuration names. */
export function fromTree(tree: unknown, origin: Origin): Source {
  const values: Values = new Map();
  const problems: Problem[] = [];
  if (tree === undefined || tree === null) return { values, problems };
  if (isSection(tree)) flatten(tree, [], origin, values, problems);
  else {
    const message = `The configuration (${origin.label}) is ${Array.isArray(tree) ? 'a list' : JSON.stringify(tree)}; allowed: an object of configuration names.`;
    problems.push({ code: 'CONFIG_INVALID', name: '', origin, message });
  }
  return { values, problems };
}

/** The text of a file: JSON or YAML, of which JSON is a part. */
export function fromFile(text: string, fileName: string): Source {
  const origin: Origin = { source: 'file', label: `file ${fileName}` };
  try {
    return fromTree(parse(text, { logLevel: 'error' }), origin);
  } catch (thrown) {
    const where = thrown instanceof YAMLParseError ? thrown.linePos?.[0] : undefined;
    const reason = (thrown instanceof Error ? thrown.message : String(thrown)).split(/ at line |\n/)[0] ?? '';
    const place = where === undefined ? '' : `line ${where.line}, column ${where.col}: `;
    const message = sentence(`${origin.label} is neither JSON nor YAML: ${place}${reason.replace(/[.:]$/, '')}`);
    return { values: new Map(), problems: [{ code: 'CONFIG_INVALID', name: '', origin, message }] };
  }
}

/** Variables with this prefix are for tests of the coordinator itself and are no configuration. */
const TEST_PREFIX = 'VEXCOORD_TEST_';
/** What a caller of the API shows, not a node. */
const TOKEN = 'VEXCOORD_TOKEN';

/** Environment variables named `VEXCOORD_…`; all others are left alone. */
export function fromEnvironment(env: Readonly<Record<string, string | undefined>>): Source {
  const values: Values = new Map();
  const problems: Problem[] = [];
  const known = new Map(CONFIG_NAMES.map((one) => [one.env, one]));
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith('VEXCOORD_') || variable.startsWith(TEST_PREFIX) || variable === TOKEN || text === undefined) continue;
    const origin: Origin = { source: 'environment', label: `environment ${variable}` };
    const name = known.get(variable);
    if (name !== undefined) values.set(name.name, { value: valueOfText(name.form, text), origin });
    else problems.push(unknown(variable, { ...origin, label: 'environment' }, 'a variable of the coordinator', suggest(variable, known.keys())));
  }
  return { values, problems };
}

/** What the command line gave, by flag name in any spelling: `raft-election-timeout-ms`, `--raft-…` or `raftElectionTimeoutMs`. */
export type Flags = Readonly<Record<string, string | readonly string[] | boolean | number | undefined>>;

const plainFlag = (flag: string): string => flag.replaceAll('-', '').toLowerCase();

/** Flags that are no configuration name are left alone: the command line has its own, and refuses unknown ones itself. */
export function fromFlags(flags: Flags): Source {
  const values: Values = new Map();
  const known = new Map(CONFIG_NAMES.map((one) => [plainFlag(one.flag), one]));
  for (const [flag, given] of Object.entries(flags)) {
    const name = known.get(plainFlag(flag));
    if (name === undefined || given === undefined) continue;
    const value = typeof given === 'number' ? given : valueOfText(name.form, given);
    values.set(name.name, { value, origin: { source: 'flag', label: `flag ${name.flag}` } });
  }
  return { values, problems: [] };
}
