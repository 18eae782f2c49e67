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
