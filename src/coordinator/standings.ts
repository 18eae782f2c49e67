/**
 * Where events stand in the causal lane. One that was handed in at several members at once stands in several logs, and readers pass over it where they
 * have had it elsewhere: asked from places that are chosen for it, they tell where.
 */
import { CoordinatorError } from '../errors/index.js';
import { type CausalContext, CausalDeliveries, type CausalDelivery, CausalPlace, type Origin } from '../events/index.js';
import { causalLatest, type Core, NativeCausalReader } from '../native/index.js';
import type { Origins } from './origins.js';

export interface StandingsPorts {
  readonly core: Pick<Core, 'handle'>;
  readonly origins: Origins;
  readonly context: CausalContext;
}

const READ_BYTES = 256 * 1024;
const EVENTS_MAX = 1024;

export class Standings {
  readonly #ports: StandingsPorts;

  constructor(ports: StandingsPorts) {
    this.#ports = ports;
  }

  /** Those of deliveries of one log, in its order, that stand in other logs, too. `filter`: what has let them through. */
  doubled(deliveries: readonly CausalDelivery[], filter: number): ReadonlySet<CausalDelivery> {
    const [first, last] = [deliveries[0], deliveries.at(-1)];
    const left = new Set(deliveries);
    if (first === undefined || last === undefined) return left;
    // To a reader that has had all other logs nothing comes but what stands in this one alone.
    let place = this.#latest().at(first.origin, first.index, first.offset - 1);
    const reader = new NativeCausalReader(this.#ports.core.handle, place.encode());
    const byPlace = new Map(deliveries.map((delivery) => [placeOf(delivery), delivery]));
    while (place.of(first.origin) < last.index) {
      const read = this.#next(reader, place, EVENTS_MAX, filter);
      if (read === null || read.blocks + read.moved === 0) return left;
      place = read.next;
      for (const delivery of read) {
        if (delivery.origin.name !== first.origin.name) continue;
        const given = byPlace.get(placeOf(delivery));
        if (given !== undefined) left.delete(given);
        if (given === last) return left;
      }
    }
    return left;
  }

  /** The delivery of an event, and what deliveries of it in other logs would be, as far as those have them. */
  all(delivery: CausalDelivery): readonly CausalDelivery[] {
    if (this.doubled([delivery], 0).size === 0) return [delivery];
    const others = this.#ports.origins.refresh().filter(({ name }) => name !== delivery.origin.name);
    return [delivery, ...others.flatMap((origin) => this.#inLog(origin, delivery) ?? [])];
  }

  /** Looks for the entry by halves: a reader that has had it passes over the event. */
  #inLog(origin: Origin, delivery: CausalDelivery): CausalDelivery | null {
    const { index, offset } = delivery;
    const isPassed = (had: bigint): boolean => {
      const [given] = this.#read(CausalPlace.first.after([[origin, had]]), delivery.origin, index, offset, offset);
      return given === undefined;
    };
    let [before, entry] = [0n, this.#latest().of(origin)];
    if (entry === 0n || !isPassed(entry)) return null;
    while (entry - before > 1n) {
      const middle = (before + entry) / 2n;
      if (isPassed(middle)) entry = middle;
      else before = middle;
    }
    return this.inEntry(origin, entry, delivery.event.id) ?? null;
  }

  /** The event of that id in an entry that is delivered here, if it has one. */
  inEntry(origin: Origin, index: bigint, id: string): CausalDelivery | undefined {
    if (this.#latest().of(origin) < index) return undefined;
    for (const delivery of this.#read(CausalPlace.first, origin, index, 0, Number.MAX_SAFE_INTEGER)) if (delivery.event.id === id) return delivery;
    return undefined;
  }

  #latest(): CausalPlace {
    return CausalPlace.read(causalLatest(this.#ports.core.handle));
  }

  /** What a reader that has had `place` is given of an entry, from one offset to another. */
  *#read(place: CausalPlace, origin: Origin, index: bigint, first: number, last: number): Generator<CausalDelivery> {
    // A part of an entry comes before everything else.
    let before = place.at(origin, index, first - 1);
    const reader = new NativeCausalReader(this.#ports.core.handle, before.encode());
    for (let next = first; next <= last; ) {
      const read = this.#next(reader, before, Math.min(last - next + 1, EVENTS_MAX), 0);
      if (read === null) return;
      before = read.next;
      const from = next;
      for (const delivery of read) {
        if (delivery.origin.name !== origin.name || delivery.index !== index || delivery.offset > last) return;
        yield delivery;
        next = delivery.offset + 1;
      }
      if (next === from) return;
    }
  }

  /** Null where what would come next has gone from its log. */
  #next(reader: NativeCausalReader, place: CausalPlace, eventsMax: number, filter: number): CausalDeliveries | null {
    try {
      return new CausalDeliveries(reader.read(READ_BYTES, eventsMax, filter), this.#ports.context, place);
    } catch (thrown) {
      if (thrown instanceof CoordinatorError && thrown.code === 'CURSOR_COMPACTED') return null;
      throw thrown;
    }
  }
}

const placeOf = ({ index, offset }: CausalDelivery): string => `${index}/${offset}`;
