import { CONFIG_NAMES } from './names.js';

/** One configuration name as help and documents show it. */
export interface ConfigDescription {
  readonly name: string;
  /** Values it takes. */
  readonly allowed: string;
  /** As JSON; null where a value must be given. */
  readonly default: string | null;
  readonly env: string;
  readonly flag: string;
  /** The flag may be given several times, once for each item. */
  readonly repeatable: boolean;
  readonly summary: string;
  /** Accepted and checked, but nothing in this release reads it. */
  readonly unused: boolean;
}

/** Every configuration name in all its forms, in the order of docs/configuration.md. */
export function describeConfig(): ConfigDescription[] {
  return CONFIG_NAMES.map((one) => ({
    name: one.name,
    allowed: one.allowed,
    default: one.default === undefined ? null : JSON.stringify(one.default),
    env: one.env,
    flag: one.flag,
    repeatable: one.form === 'pairs' || one.form === 'numberPairs' || one.form === 'list',
    summary: one.summary,
    unused: one.unused,
  }));
}
