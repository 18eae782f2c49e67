import { LIMITS, type Where } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { CATEGORIES, type Catalogue, type Category, unknownType } from './catalogue.js';

/** A filter as the core takes it: every given list must match; within one, any of its values. An event matches by `codes` or `categories`. */
export interface Filter {
  readonly codes: readonly number[];
  /** Category bases, such as 0x0100. */
  readonly categories: readonly number[];
  readonly globs: readonly string[];
}

const GLOB_START = /^[/*?[{]/;

const refuse = (message: string, details: Record<string, unknown> = {}) => new CoordinatorError('FILTER_INVALID', message, { details });

function checkGlob(glob: unknown): string {
  if (typeof glob !== 'string') throw refuse(`where.path is of type ${typeof glob}; a glob, or a list of them, is allowed.`, { field: 'path' });
  const say = (rest: string) => refuse(`where.path ${JSON.stringify(glob)} ${rest}.`, { field: 'path', glob });
  if (Buffer.byteLength(glob) > LIMITS.pathBytesMax) throw say(`is over ${LIMITS.pathBytesMax} bytes`);
  if (glob.includes('\0')) throw say('has a NUL character, which no path has');
  if (!GLOB_START.test(glob)) throw say('can match no path: paths are absolute, so that it begins with / or a wildcard');
  return glob;
}

const listOf = <T>(value: T | readonly T[] | undefined): readonly T[] => (value === undefined ? [] : Array.isArray(value) ? (value as readonly T[]) : [value as T]);

/**
 * Checks a subscription's `where` against the catalogue. Whether a glob is well formed is for the core to say, which compiles it.
 * @throws CoordinatorError `UNKNOWN_EVENT_TYPE` or `FILTER_INVALID`.
 */
export function filterOf(where: Where | undefined, catalogue: Catalogue): Filter {
  if (where === undefined) return { codes: [], categories: [], globs: [] };
  for (const key of Object.keys(where)) {
    if (key !== 'type' && key !== 'path') throw refuse(`where.${key} is no condition; allowed: type, path.`, { field: key });
  }
  const codes = new Set<number>();
  const categories = new Set<number>();
  for (const type of listOf<string | number>(where.type)) {
    if (typeof type === 'string' && Object.hasOwn(CATEGORIES, type)) categories.add(CATEGORIES[type as Category]);
    else {
      const code = typeof type === 'string' || typeof type === 'number' ? catalogue.codeOf(type) : -1;
      if (code < 0) throw unknownType(type, catalogue, 'where.type: ');
      codes.add(code);
    }
  }
  // An empty list would let nothing through, or everything, as one reads it: it is asked for what is meant.
  for (const field of ['type', 'path'] as const) {
    if (Array.isArray(where[field]) && where[field].length === 0) throw refuse(`where.${field} is an empty list; leave it out to let all through.`, { field });
  }
  return { codes: [...codes], categories: [...categories], globs: listOf<string>(where.path).map(checkGlob) };
}

/** One term: a field, then a quoted value or one up to the next space. */
const TERM = /\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^\s"]\S*)(?=\s|$)/y;

/**
 * Reads the command line's form of a filter: terms separated by spaces, `type=A,B` and `path=GLOB`, each as often as wanted;
 * a glob with spaces is put in double quotes.
 * @throws CoordinatorError `FILTER_INVALID`, with the place where the text cannot be read.
 */
export function parseWhere(text: string): Where {
  const types: string[] = [];
  const paths: string[] = [];
  let at = 0;
  while (text.slice(at).trim() !== '') {
    TERM.lastIndex = at;
    const match = TERM.exec(text);
    if (match === null) {
      throw refuse(`The filter cannot be read from character ${at + 1} on: ${JSON.stringify(text.slice(at).trim())}; terms are type=NAME,… and path=GLOB.`);
    }
    const [, field, raw = ''] = match;
    const value = raw.startsWith('"') ? raw.slice(1, -1).replace(/\\(.)/g, '$1') : raw;
    if (field === 'type') types.push(...value.split(',').filter((one) => one !== ''));
    else if (field === 'path') paths.push(value);
    else throw refuse(`The filter has no condition ${field}; allowed: type, path.`, { field });
    at = TERM.lastIndex;
  }
  return { ...(types.length > 0 ? { type: types } : {}), ...(paths.length > 0 ? { path: paths } : {}) };
}
