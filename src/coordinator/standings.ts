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

export class Standings {
  readonly #ports: StandingsPorts;

  constructor(ports: StandingsPorts) {
    this.#ports = ports;
  }

  /** Of deliveries of one entry, in their order, the offsets of those that stand in other entries, too. */
  doubled(entry: readonly CausalDelivery[]): ReadonlySet<number> {
    const [first, last] = [entry[0], entry.at(-1)];
    if (first === undefined || last === undefined) return new Set();
    const alone = new Set<number>();
    for (const { offset } of this.#read(this.#latest(), first.origin, first.index, first.offset, last.offset)) alone.add(offset);
    return new Set(entry.map(({ offset }) => offset).filter((offset) => !alone.has(offset)));
  }

  /** The delivery of an event, and what deliveries of it in other logs would be, as far as those have them. */
  all(delivery: CausalDelivery): readonly CausalDelivery[] {
    if (this.doubled([delivery]).size === 0) return [delivery];
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
    const { core, context } = this.#ports;
    // A part of an entry comes before everything else.
    let before = place.at(origin, index, first - 1);
    const reader = new NativeCausalReader(core.handle, before.encode());
    for (let next = first; next <= last; ) {
      const wanted = Math.min(last - next + 1, 1024);
      let read: CausalDeliveries;
      try {
        read = new CausalDeliveries(reader.read(READ_BYTES, wanted, 0), context, before);
      } catch (thrown) {
        // What comes behind the entry may have gone, and so may the entry.
        if (thrown instanceof CoordinatorError && thrown.code === 'CURSOR_COMPACTED') return;
        throw thrown;
      }
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
}
