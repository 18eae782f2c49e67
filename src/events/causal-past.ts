/** What happened before an event of the causal lane, and how others stand to it: by the clocks of entries, and within an entry by the offset. */
import type { CausalRelation } from '../contracts/index.js';
import { CausalPlace, type Origin } from './causal-place.js';

/** Where an event stands, and what its entry follows, that entry included. */
export interface Stands {
  readonly origin: Origin;
  readonly index: bigint;
  readonly offset: number;
  readonly rows: Iterable<readonly [Origin, bigint]>;
}

/** Whether an event that stands there happened after one that stands in another place. */
export function follows(one: Stands, { origin, index, offset }: Omit<Stands, 'rows'>): boolean {
  if (one.origin.name === origin.name && one.index === index) return one.offset > offset;
  for (const [{ name }, counter] of one.rows) if (name === origin.name) return counter >= index;
  return false;
}

export class CausalPast {
  /** Where the event stands: once, or in the log of each member that it was handed in at. */
  readonly places: readonly Stands[];
  /** Entries that are in it from their first event to their last, by whose they are. */
  readonly #whole = new Map<string, readonly [Origin, bigint]>();

  constructor(places: readonly Stands[]) {
    this.places = places;
    for (const { origin, index, rows } of places) {
      for (const [of, counter] of rows) {
        const last = of.name === origin.name ? index - 1n : counter;
        if (last > (this.#whole.get(of.name)?.[1] ?? 0n)) this.#whole.set(of.name, [of, last]);
      }
    }
  }

  /** Whether an event that stands there happened before. */
  has({ origin, index, offset }: Omit<Stands, 'rows'>): boolean {
    if (index <= (this.#whole.get(origin.name)?.[1] ?? 0n)) return true;
    return this.places.some((place) => place.origin.name === origin.name && place.index === index && offset < place.offset);
  }

  /** Whether the entry of an event is the one that this event stands in, and no other. */
  isIn({ origin, index }: Pick<Stands, 'origin' | 'index'>): boolean {
    return this.places.every((place) => place.origin.name === origin.name && place.index === index);
  }

  /** How an event that stands in these places stands to this one. */
  relation(places: readonly Stands[]): CausalRelation {
    const same = (one: Stands) => this.places.some(({ origin, index, offset }) => one.origin.name === origin.name && one.index === index && one.offset === offset);
    if (places.some(same)) return 'same';
    if (places.some((one) => this.has(one))) return 'before';
    return places.some((one) => this.places.some((place) => follows(one, place))) ? 'after' : 'concurrent';
  }

  /** The entries that it ends with, by whose they are: `span` fewer of each. */
  place(span = 0n): CausalPlace {
    return CausalPlace.first.after([...this.#whole.values()].map(([origin, last]) => [origin, last > span ? last - span : 0n] as const));
  }

  /** Of a place what is in the past, too. */
  within(place: CausalPlace): CausalPlace {
    const shorter = ([origin, last]: readonly [Origin, bigint]): readonly [Origin, bigint] => [origin, place.of(origin) < last ? place.of(origin) : last];
    return CausalPlace.first.after([...this.#whole.values()].map(shorter));
  }

  /** Right behind the event, where a reader has had all that happened before. */
  behind(): CausalPlace {
    const after = (place: CausalPlace, { origin, index, offset }: Stands) => (place.of(origin) < index ? place.within(origin, index, offset) : place);
    return this.places.reduce(after, this.place());
  }

  /** Behind the whole entries that the event stands in. */
  end(): CausalPlace {
    return this.place().after(this.places.map(({ origin, index }) => [origin, index] as const));
  }
}
