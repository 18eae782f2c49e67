import { LIMITS } from '../contracts/index.js';

/**
 * Whether a JSON value has more levels than the metadata of an event may: what goes through it level by level would run out of
 * stack, and not at the same depth everywhere. `characters`: of its text.
 */
export function isTooDeep(value: unknown, characters: number): boolean {
  // Each level takes two characters.
  return characters > 2 * LIMITS.jsonLevelsMax && exceeds(value, LIMITS.jsonLevelsMax);
}

function exceeds(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => exceeds(inner, levels - 1));
}
