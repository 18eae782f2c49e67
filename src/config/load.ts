import { CoordinatorError } from '../errors/index.js';
import { crossCheck, insecureWarnings } from './checks.js';
import { CONFIG_NAMES, type ConfigName, NAME_BY_PATH } from './names.js';
import { type CoordinatorConfig, configSchema, type ResolvedConfig } from './schema.js';
import { type Flags, fromEnvironment, fromFile, fromFlags, fromTree, type Origin, type Problem, type Source } from './sources.js';

export interface ConfigSources {
  /** Text of the configuration file, JSON or YAML. */
  readonly fileText?: string;
  /** Its name, for the sentences. */
  readonly fileName?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly flags?: Flags;
}

export interface LoadedConfig {
  readonly config: ResolvedConfig;
  /** Where each name's value came from. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** Sentences about what is allowed and dangerous, and about values that are accepted but that nothing in this release reads. */
  readonly warnings: readonly string[];
}

const DEFAULT: Origin = { source: 'default', label: 'default' };

function put(tree: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [key, ...inner] = path;
  if (key === undefined) return;
  if (inner.length === 0) tree[key] = value;
  else {
    tree[key] ??= {};
    put(tree[key] as Record<string, unknown>, inner, value);
  }
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let found = value;
  for (const key of path) found = (found as Record<PropertyKey, unknown> | null | undefined)?.[key];
  return found;
}

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
};

/** The sentence about one value that its schema refuses; `path` may reach into the value, as `peers.b`. */
function refusal(name: ConfigName, path: readonly PropertyKey[], value: unknown, origin: Origin | undefined): Problem {
  if (origin === undefined) {
    const message = `${name.name} is missing; give it in the file, as ${name.env} or as ${name.flag}; allowed: ${name.allowed}.`;
    return { code: 'CONFIG_INVALID', name: name.name, origin: DEFAULT, message };
  }
  const isObject = (one: unknown): boolean => typeof one === 'object' && one !== null && !Array.isArray(one);
  const inside = isObject(value) || (Array.isArray(value) && isObject(valueAt(value, path.slice(0, 1)))) ? path.slice(0, 1) : [];
  const full = [name.name, ...inside.map(String)].join('.');
  const message = `${full} (${origin.label}) is ${shown(valueAt(value, inside))}; allowed: ${name.allowed}.`;
  return { code: 'CONFIG_INVALID', name: full, origin, message };
}

/** Throws all problems as one error: `ADDRESS_REFUSED` when there is nothing else, `CONFIG_INVALID` otherwise. */
function refuse(problems: readonly Problem[]): never {
  const code = problems.every((problem) => problem.code === 'ADDRESS_REFUSED') ? 'ADDRESS_REFUSED' : 'CONFIG_INVALID';
  const plain = problems.map(({ code, name, origin, message }) => ({ code, name, origin: origin.label, message }));
  throw new CoordinatorError(code, problems.map((problem) => problem.message).join('\n'), { details: { problems: plain } });
}

/** Merges sources, the later over the earlier and name by name, and checks the whole. */
function merge(sources: readonly Source[]): LoadedConfig {
  const problems: Problem[] = sources.flatMap((source) => source.problems);
  const tree: Record<string, unknown> = {};
  const origins = new Map<string, Origin>();
  for (const source of sources) {
    for (const [name, { value, origin }] of source.values) {
      const known = NAME_BY_PATH.get(name);
      if (known === undefined) continue;
      put(tree, known.path, value);
      origins.set(name, origin);
    }
  }
  const originOf = (name: string): Origin => origins.get(name) ?? DEFAULT;
  // An unreadable source says nothing of what it holds: names would be called missing that are in it.
  if (problems.some((problem) => problem.name === '')) refuse(problems);

  const parsed = configSchema.safeParse(tree);
  if (!parsed.success) {
    const said = new Set<string>();
    for (const issue of parsed.error.issues) {
      const name = CONFIG_NAMES.find((one) => one.path.every((key, depth) => issue.path[depth] === key));
      if (name === undefined) continue;
      const problem = refusal(name, issue.path.slice(name.path.length), valueAt(tree, name.path), origins.get(name.name));
      if (!said.has(problem.message)) problems.push(problem);
      said.add(problem.message);
    }
    refuse(problems);
  }
  problems.push(...crossCheck(parsed.data, originOf));
  if (problems.length > 0) refuse(problems);

  // One file may serve all members: a node that finds itself among its peers leaves itself out.
  const { [parsed.data.nodeId]: _self, ...peers } = parsed.data.peers;
  const unused = CONFIG_NAMES.filter((one) => one.unused && origins.has(one.name)).map(
    (one) => `${one.name} (${originOf(one.name).label}) is accepted, but nothing in this release reads it.`,
  );
  return {
    config: { ...parsed.data, peers },
    origins: new Map(CONFIG_NAMES.map((one) => [one.name, originOf(one.name)])),
    warnings: [...insecureWarnings(parsed.data, originOf), ...unused],
  };
}

/**
 * The configuration from its file, the environment and the flags; flags win over the environment, and that over the file.
 *
 * Pure: the caller reads the file and passes its text.
 * @throws CoordinatorError `CONFIG_INVALID` or `ADDRESS_REFUSED`; its message has a line for each mistake, `details.problems` has them as data.
 */
export function loadConfig(given: ConfigSources): LoadedConfig {
  const sources: Source[] = [];
  if (given.fileText !== undefined) sources.push(fromFile(given.fileText, given.fileName ?? '-'));
  if (given.env !== undefined) sources.push(fromEnvironment(given.env));
  if (given.flags !== undefined) sources.push(fromFlags(given.flags));
  return merge(sources);
}

/** The configuration an application passes as an object; the environment has no part in it. Throws as `loadConfig` does. */
export function resolveConfig(config: CoordinatorConfig): ResolvedConfig {
  return merge([fromTree(config, { source: 'argument', label: 'argument' })]).config;
}
