import { z } from 'zod';
import { type LeafInfo, leafInfo } from './leaf.js';
import { configSchema } from './schema.js';

/** One configuration name in all its forms. */
export interface ConfigName extends LeafInfo {
  /** Dotted, as in the file: `raft.electionTimeoutMs`. */
  readonly name: string;
  readonly path: readonly string[];
  readonly env: string;
  readonly flag: string;
  /** Undefined where a value must be given. */
  readonly default: unknown;
}

const words = (part: string): string[] => part.split(/(?=[A-Z])/).map((word) => word.toLowerCase());

function* walk(schema: z.ZodType, path: readonly string[]): Generator<ConfigName> {
  const info = leafInfo(schema);
  if (info !== undefined) {
    const name = path.flatMap(words);
    const absent = schema.safeParse(undefined);
    yield {
      ...info,
      name: path.join('.'),
      path,
      env: `VEXCOORD_${name.join('_').toUpperCase()}`,
      flag: info.flag ?? `--${name.join('-')}`,
      default: absent.success ? absent.data : undefined,
    };
  } else if (schema instanceof z.ZodPrefault) {
    yield* walk(schema.def.innerType as z.ZodType, path);
  } else if (schema instanceof z.ZodObject) {
    for (const [key, inner] of Object.entries(schema.shape)) yield* walk(inner as z.ZodType, [...path, key]);
  } else {
    throw new TypeError(`the configuration name ${path.join('.')} has no text form`);
  }
}

/** Every configuration name, in the order of the document. */
export const CONFIG_NAMES: readonly ConfigName[] = [...walk(configSchema, [])];

export const NAME_BY_PATH: ReadonlyMap<string, ConfigName> = new Map(CONFIG_NAMES.map((one) => [one.name, one]));

/** Names of sections (`raft`, `network.pool`), which hold names but no value. */
export const SECTIONS: ReadonlySet<string> = new Set(
  CONFIG_NAMES.flatMap(({ path }) => path.slice(0, -1).map((_, depth) => path.slice(0, depth + 1).join('.'))),
);
