/** What a run is given. The command and the tests give the same; they differ in sizes and in what becomes of the files. */
import type { Undoing } from '../helpers/cluster.js';

export interface Context extends Undoing {
  /** Everything that a run draws comes from it; timing does not, so a seed repeats the plan of a run and not its every step. */
  readonly seed: number;
  /** An empty directory for the run's files. */
  readonly directory: string;
  readonly progress: (line: string) => void;
}

/** What a run that held came to: a figure each, in the order they are shown. */
export type Figures = Readonly<Record<string, number | string>>;

/** What must be true and is not: the end of a run. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/** Ends the run where `condition` does not hold. */
export function must(condition: boolean, sentence: string | (() => string)): asserts condition {
  if (!condition) throw new Violation(typeof sentence === 'string' ? sentence : sentence());
}
