import type { z } from 'zod';

/** How a value is written as text, in the environment and in a flag. */
export type TextForm = 'text' | 'number' | 'boolean' | 'numbers' | 'list' | 'pairs' | 'numberPairs' | 'addressOrFalse' | 'json';

/** What is known of one configuration name besides its schema. */
export interface LeafInfo {
  readonly form: TextForm;
  /** The values it takes, to end a sentence that begins "allowed: ". */
  readonly allowed: string;
  readonly summary: string;
  /** Validated, but nothing in this release reads it: setting it earns a warning. */
  readonly unused: boolean;
  /** Flag, where it is not derived from the name. */
  readonly flag?: string;
}

const LEAVES = new WeakMap<object, LeafInfo>();

/** Marks a schema as one configuration name with a text form; nested objects without the mark are sections. */
export function leaf<T extends z.ZodType>(
  schema: T,
  form: TextForm,
  allowed: string,
  summary: string,
  more: { unused?: boolean; flag?: string } = {},
): T {
  LEAVES.set(schema, { form, allowed, summary, unused: false, ...more });
  return schema;
}

export function leafInfo(schema: object): LeafInfo | undefined {
  return LEAVES.get(schema);
}

const NUMBER = /^[+-]?\d+(\.\d+)?$/;
const INTEGER = /^(0[xX][0-9a-fA-F]+|\d+)$/;

function pairsOf(parts: readonly string[]): [string, string][] | null {
  const pairs: [string, string][] = [];
  for (const part of parts) {
    const cut = part.indexOf('=');
    if (cut < 1) return null;
    pairs.push([part.slice(0, cut).trim(), part.slice(cut + 1).trim()]);
  }
  return new Set(pairs.map(([key]) => key)).size === pairs.length ? pairs : null;
}

/** Reads the text of an environment variable or flag; text that cannot be read stays text, for the schema to refuse. */
export function valueOfText(form: TextForm, given: string | readonly string[] | boolean): unknown {
  if (typeof given === 'boolean') return given;
  const text = typeof given === 'string' ? given : given.join(',');
  const parts = text.split(',').map((part) => part.trim()).filter((part) => part !== '');
  switch (form) {
    case 'text':
      return text;
    case 'number':
      return NUMBER.test(text) ? Number(text) : text;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text;
    case 'numbers':
      return parts.every((part) => NUMBER.test(part)) ? parts.map(Number) : text;
    case 'list':
      return parts;
    case 'pairs': {
      const pairs = pairsOf(parts);
      return pairs === null ? text : Object.fromEntries(pairs);
    }
    case 'numberPairs': {
      const pairs = pairsOf(parts);
      if (pairs === null) return text;
      return Object.fromEntries(pairs.map(([key, value]) => [key, INTEGER.test(value) ? Number(value) : value]));
    }
    case 'addressOrFalse':
      return text === 'false' ? false : text;
    case 'json':
      try {
        return JSON.parse(text);
      } catch {
        return text;
      }
  }
}
