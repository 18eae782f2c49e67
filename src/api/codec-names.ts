import { type CausalRelation, type Committed, LANES, LEVELS, type Lane, type Level } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';

/** Enum values of the proto are the contracts' names in capitals behind a prefix. */

export const encodeLevel = (level: Level | 'adaptive'): string => `LEVEL_${level.toUpperCase()}`;

/** `LEVEL_UNSPECIFIED` is null; a number nobody gave a name to is `UNKNOWN_LEVEL`. */
export function decodeLevel(wire: string | number | undefined): Level | null {
  if (wire === undefined || wire === 'LEVEL_UNSPECIFIED' || wire === 0) return null;
  const name = String(wire).replace(/^LEVEL_/, '').toLowerCase();
  const level = LEVELS.find((candidate) => candidate === name);
  if (level === undefined) throw new CoordinatorError('UNKNOWN_LEVEL', `level ${wire} is none of ${LEVELS.join(', ')}`);
  return level;
}

/** As `decodeLevel`, of what a publish asks for. */
export function decodeConsistency(wire: string | number | undefined): Level | 'adaptive' | null {
  return wire === 'LEVEL_ADAPTIVE' ? 'adaptive' : decodeLevel(wire);
}

export const encodeLane = (lane: Lane): string => `LANE_${lane.toUpperCase()}`;

export function decodeLane(wire: string | number): Lane {
  const name = String(wire).replace(/^LANE_/, '').toLowerCase();
  return LANES.find((candidate) => candidate === name) ?? 'ordered';
}

export const encodeCommitted = (committed: Committed): string => `COMMITTED_${committed.toUpperCase()}`;

export function decodeCommitted(wire: string | number | undefined): Committed {
  if (wire === 'COMMITTED_YES') return 'yes';
  return wire === 'COMMITTED_NO' ? 'no' : 'unknown';
}

const RELATIONS: readonly CausalRelation[] = ['same', 'before', 'after', 'concurrent'];

export const encodeRelation = (relation: CausalRelation): string => `RELATION_${relation.toUpperCase()}`;

/** Null for none, and for one that nobody gave a name to. */
export function decodeRelation(wire: string | number | undefined): CausalRelation | null {
  const name = String(wire).replace(/^RELATION_/, '').toLowerCase();
  return RELATIONS.find((candidate) => candidate === name) ?? null;
}
