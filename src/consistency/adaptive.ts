/** The weakest level between two bounds that keeps a staleness, as the links are now. */
import { isCausal, LEVELS, type ServedLevel } from '../contracts/index.js';

export interface Bounds {
  readonly weakest: ServedLevel;
  readonly strongest: ServedLevel;
}

/** How a node stands to the others. */
export interface Surroundings {
  /** So many voters are linked, this node included, that they are a majority. */
  readonly majorityLinked: boolean;
  /** After which time what is written here is delivered at linked members at the latest, one lost frame included. */
  readonly spreadMs: number;
  /** After which time followers have applied what is committed. */
  readonly followMs: number;
}

/** Null where none does. Without `maxStalenessMs` the weakest one. */
export function weakestLevel({ weakest, strongest }: Bounds, maxStalenessMs: number | undefined, surroundings: Surroundings): ServedLevel | null {
  const between = LEVELS.slice(LEVELS.indexOf(weakest), LEVELS.indexOf(strongest) + 1) as readonly ServedLevel[];
  return between.find((level) => maxStalenessMs === undefined || stalenessMs(level, surroundings) <= maxStalenessMs) ?? null;
}

/** After which time a majority of the members shows an event of that level that has its receipt. */
function stalenessMs(level: ServedLevel, { majorityLinked, spreadMs, followMs }: Surroundings): number {
  if (isCausal(level)) return majorityLinked ? spreadMs : Number.POSITIVE_INFINITY;
  // A strong one is applied at a majority, and a read behind a barrier sees every linearizable one.
  return level === 'sequential' ? followMs : 0;
}
