/** The origins of the causal lane as this node counts them; a copy of what the core says, fetched again when it has more. */
import { CoordinatorError } from '../errors/index.js';
import type { Origin } from '../events/index.js';

export class Origins {
  readonly #fetch: () => readonly Origin[];
  #known: readonly Origin[] = [];

  constructor(fetch: () => readonly Origin[]) {
    this.#fetch = fetch;
  }

  at(number: number): Origin {
    const origin = this.#known[number] ?? this.refresh()[number];
    if (origin === undefined) throw new CoordinatorError('INTERNAL', `there is no origin ${number}`);
    return origin;
  }

  /** As clocks spell it. */
  named(name: string): Origin {
    const known = (origin: Origin): boolean => origin.name === name;
    const origin = this.#known.find(known) ?? this.refresh().find(known);
    if (origin === undefined) throw new CoordinatorError('INTERNAL', `there is no origin ${name}`);
    return origin;
  }

  refresh(): readonly Origin[] {
    this.#known = this.#fetch();
    return this.#known;
  }
}
