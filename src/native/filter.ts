import { addon } from './addon.js';
import { calling } from './errors.js';

const forgotten = new FinalizationRegistry<number>((number) => addon().dropFilter(number));

/** A compiled filter. Collected if forgotten; `free` twice does no harm. */
export class FilterHandle {
  #number: number;

  /** Empty lists are conditions not given. Throws `FILTER_INVALID` for a glob that is none. */
  constructor(codes: readonly number[], categories: readonly number[], globs: readonly string[]) {
    this.#number = calling(() => addon().makeFilter([...codes], [...categories], [...globs]));
    forgotten.register(this, this.#number, this);
  }

  get number(): number {
    return this.#number;
  }

  free(): void {
    if (this.#number === 0) return;
    forgotten.unregister(this);
    addon().dropFilter(this.#number);
    this.#number = 0;
  }
}

/** What filters look at in an event. */
export interface Named {
  readonly code: number;
  /** Empty where there is none. */
  readonly path: string;
  readonly to: string;
}

/** Of each event the position of the first filter that lets it through, -1 where none does; one call for all. */
export function firstMatches(filters: readonly FilterHandle[], events: readonly Named[]): Int32Array {
  const numbers = filters.map(({ number }) => number);
  return calling(() => addon().firstMatches(numbers, events.map(({ code }) => code), events.map(({ path }) => path), events.map(({ to }) => to)));
}
