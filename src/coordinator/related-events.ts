/** A stream of what is related to an event of the causal lane; it ends, and waits for nothing that is yet to come. */
import type { Delivery, RelatedEvents } from '../contracts/index.js';
import { type CausalDelivery, type CausalPast, CausalPlace, follows } from '../events/index.js';
import { causalLatest, causalOldest, type FilterHandle } from '../native/index.js';
import { CausalWalk, type WalkPorts, type Wanted } from './causal-walk.js';
import { PulledSubscription } from './pulled-subscription.js';

export interface RelatedPorts extends WalkPorts {
  /** Finds the event. */
  past(signal: AbortSignal): Promise<CausalPast>;
  /** Throws where the node is closed. */
  check(): void;
}

export interface Asked {
  readonly relation: 'before' | 'after' | 'concurrent';
  readonly direct: boolean;
  readonly from: CausalPlace | null;
  readonly own: boolean;
  readonly bufferBytesMax: number;
  readonly signal?: AbortSignal;
}

/** Entries of each origin that are looked at first for the nearest causes, and by how many times more then. */
const SPAN_FIRST = 16n;
const SPAN_FACTOR = 8n;

type Source = { next(): Promise<readonly CausalDelivery[] | null>; readonly complete: boolean };

export class RelatedStream extends PulledSubscription implements RelatedEvents {
  readonly #ports: RelatedPorts;
  readonly #asked: Asked;
  #source: Promise<Source> | null = null;
  #finished = false;

  constructor(ports: RelatedPorts, asked: Asked, filter: FilterHandle | null) {
    super({ bufferBytesMax: asked.bufferBytesMax, ...(asked.signal === undefined ? {} : { signal: asked.signal }) }, filter);
    this.#ports = ports;
    this.#asked = asked;
  }

  async complete(): Promise<boolean> {
    return (await this.#begun()).complete;
  }

  override async next(): Promise<IteratorResult<Delivery>> {
    const result = await super.next();
    // Where the node ends it, others may have come.
    if (result.done === true && !this.#finished && this.#asked.signal?.aborted !== true) this.#ports.check();
    return result;
  }

  protected async fetch(): Promise<Iterable<Delivery> | null> {
    const next = await (await this.#begun()).next();
    if (next === null) {
      this.#finished = true;
      await this.close();
    }
    return next;
  }

  #begun(): Promise<Source> {
    this.#source ??= this.#begin();
    return this.#source;
  }

  async #begin(): Promise<Source> {
    const { core } = this.#ports;
    const { relation, direct, from } = this.#asked;
    const past = await this.#ports.past(this.signal);
    const wanted = { past, relation, filter: this.filter, own: this.#asked.own, bytesMax: this.bytesMax };
    const oldest = CausalPlace.read(causalOldest(core.handle));
    if (relation === 'before') {
      if (direct) return this.#nearest(wanted, oldest);
      const walk = new CausalWalk(this.#ports, wanted, from ?? oldest, past.end());
      return { next: () => walk.next(), complete: from !== null || CausalPlace.first.covers(past.within(oldest)) };
    }
    const behind = past.behind();
    const start = from === null ? behind.with(oldest) : behind.with(from);
    const walk = new CausalWalk(this.#ports, wanted, start, CausalPlace.read(causalLatest(core.handle)));
    const complete = from !== null || behind.covers(oldest);
    return { next: direct ? firsts(walk) : () => walk.next(), complete };
  }

  /**
   * Causes that no other cause follows. They are looked for in the last entries of each log, and in more of them until those that were
   * found follow everything before.
   */
  async #nearest(wanted: Wanted, oldest: CausalPlace): Promise<Source> {
    const { past } = wanted;
    for (let span = SPAN_FIRST; ; span *= SPAN_FACTOR) {
      const start = past.place(span).with(oldest);
      const walk = new CausalWalk(this.#ports, wanted, start, past.end());
      const nearest = new Map<string, CausalDelivery>();
      for (let read = await walk.next(); read !== null && !this.signal.aborted; read = await walk.next()) {
        for (const delivery of read) {
          for (const [name, other] of nearest) if (follows(delivery, other)) nearest.delete(name);
          nearest.set(delivery.origin.name, delivery);
        }
      }
      const followed = CausalPlace.first.after([...nearest.values()].flatMap(({ rows }) => [...rows]));
      const complete = followed.covers(past.within(start));
      if (!complete && !this.signal.aborted && !oldest.covers(past.within(start))) continue;
      let items: readonly CausalDelivery[] | null = [...nearest.values()];
      const next = async () => {
        const given = items;
        items = null;
        return given;
      };
      return { next, complete };
    }
  }
}

/** Of effects as they come those that follow none before. */
function firsts(walk: CausalWalk): () => Promise<readonly CausalDelivery[] | null> {
  const found: CausalDelivery[] = [];
  return async () => {
    const read = await walk.next();
    const next = read?.filter((delivery) => {
      if (found.some((first) => follows(delivery, first))) return false;
      found.push(delivery);
      return true;
    });
    return next ?? null;
  };
}
