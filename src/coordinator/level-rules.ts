/** Finds the rule of the configuration's `levels` that matches an event, by the filters that subscriptions use too. */
import type { EventInput, LevelRule, Where } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type Catalogue, filterOf } from '../events/index.js';
import { FilterHandle, firstMatches } from '../native/index.js';

/** No type has it. */
const NO_CODE = 0;

export class LevelRules {
  readonly #catalogue: Catalogue;
  readonly #filters: readonly FilterHandle[];

  /** Throws `CONFIG_INVALID` for types that the catalogue does not have and for globs that are none. */
  constructor(rules: readonly LevelRule[], catalogue: Catalogue) {
    this.#catalogue = catalogue;
    this.#filters = rules.map(({ name, match }) => {
      try {
        const { codes, categories, globs } = filterOf(whereOf(match), catalogue);
        return new FilterHandle(codes, categories, globs);
      } catch (thrown) {
        const cause = CoordinatorError.from(thrown);
        throw new CoordinatorError('CONFIG_INVALID', `levels: the rule ${JSON.stringify(name)} matches nothing that can be understood: ${cause.message}`, { cause });
      }
    });
  }

  /** Of each event the position of the first rule that matches it, -1 where none does. What is no event matches what asks for nothing. */
  rulesOf(events: readonly EventInput[]): ArrayLike<number> {
    const text = (value: unknown): string => (typeof value === 'string' ? value : '');
    const codeOf = (type: unknown): number => (typeof type === 'string' || typeof type === 'number' ? Math.max(NO_CODE, this.#catalogue.codeOf(type)) : NO_CODE);
    const named = events.map((event) => ({ code: codeOf(event?.type), path: text(event?.path), to: text(event?.to) }));
    return firstMatches(this.#filters, named);
  }
}

/** Without conditions that are there and say nothing. */
function whereOf(match: LevelRule['match']): Where {
  return Object.fromEntries(Object.entries(match ?? {}).filter(([, value]) => value !== undefined));
}
