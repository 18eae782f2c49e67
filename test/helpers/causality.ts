/** What happened before what, counted out by hand: the closure over single steps between places, for tests of the graph. */
import type { ExecutionContext } from 'ava';
import type { CausalKey, CausalRelation, Coordinator, CoordinatorConfig, Delivery, Receipt, RelatedEvents } from '../../dist/index.js';
import { Embedded, until } from './cluster.js';

/** A cluster whose members know who they write as. */
export async function start(t: ExecutionContext, more: Partial<CoordinatorConfig> = {}): Promise<{ cluster: Embedded; nodes: [Coordinator, Coordinator, Coordinator] }> {
  const cluster = await Embedded.start(t, more);
  await until('who writes where', () => [...cluster.nodes.values()].every((node) => node.status().lanes.causal.actor !== null));
  return { cluster, nodes: [cluster.get('a'), cluster.get('b'), cluster.get('c')] };
}

/** Once a node has delivered these. */
export const had = (node: Coordinator, receipts: readonly Receipt[]): Promise<unknown> => Promise.all(receipts.map(({ cursor }) => node.readBarrier({ after: cursor })));

interface Place {
  readonly event: string;
  readonly actor: string;
  readonly index: bigint;
  readonly offset: number;
  readonly clock: { readonly [actor: string]: string };
}

export class Graph {
  readonly #places: Place[] = [];
  /** Of each place those right before it. */
  #before: Map<Place, Place[]> | null = null;
  readonly #pasts = new Map<string, ReadonlySet<string>>();

  /** Takes note of a publish at a node; one that was a duplicate stands elsewhere. */
  add(node: Coordinator, { eventId, index, offset, clock, duplicate }: Receipt): void {
    const actor = node.status().lanes.causal.actor;
    if (duplicate || clock === null || actor === null) return;
    this.#places.push({ event: eventId, actor, index, offset, clock });
    this.#before = null;
    this.#pasts.clear();
  }

  get events(): readonly string[] {
    return [...new Set(this.#places.map(({ event }) => event))];
  }

  /** Events that stand in more than one log. */
  get doubled(): number {
    return this.#places.length - this.events.length;
  }

  relation(one: string, other: string): CausalRelation {
    if (one === other) return 'same';
    if (this.#past(other).has(one)) return 'before';
    return this.#past(one).has(other) ? 'after' : 'concurrent';
  }

  /** Those that stand so to an event, sorted. */
  related(event: string, relation: CausalRelation): string[] {
    return this.events.filter((other) => this.relation(other, event) === relation).sort();
  }

  /** Those related to an event so that none of them stands between: the nearest causes, or the first effects. */
  direct(event: string, relation: 'before' | 'after'): string[] {
    const all = this.related(event, relation);
    return all.filter((one) => !all.some((other) => this.relation(other, one) === (relation === 'before' ? 'after' : 'before')));
  }

  #past(event: string): ReadonlySet<string> {
    const known = this.#pasts.get(event) ?? this.#closure(event);
    this.#pasts.set(event, known);
    return known;
  }

  #closure(event: string): ReadonlySet<string> {
    const before = this.#steps();
    const seen = new Set<Place>();
    const open = this.#places.filter((place) => place.event === event);
    for (let place = open.pop(); place !== undefined; place = open.pop()) {
      for (const one of before.get(place) ?? []) {
        if (seen.has(one)) continue;
        seen.add(one);
        open.push(one);
      }
    }
    return new Set([...seen].map((place) => place.event));
  }

  #steps(): Map<Place, Place[]> {
    if (this.#before !== null) return this.#before;
    const last = (actor: string, index: bigint): Place | undefined => this.#places.filter((place) => place.actor === actor && place.index === index).sort((a, b) => b.offset - a.offset)[0];
    const steps = (place: Place): (Place | undefined)[] => {
      const { actor, index, offset, clock } = place;
      if (offset > 0) return [this.#places.find((other) => other.actor === actor && other.index === index && other.offset === offset - 1)];
      return Object.entries(clock).map(([of, counter]) => last(of, of === actor ? index - 1n : BigInt(counter)));
    };
    this.#before = new Map(this.#places.map((place) => [place, steps(place).filter((one) => one !== undefined)]));
    return this.#before;
  }
}

export async function collect(events: RelatedEvents): Promise<Delivery[]> {
  const all: Delivery[] = [];
  for await (const delivery of events) all.push(delivery);
  return all;
}

export const pathsOf = (deliveries: readonly Delivery[]): (string | null)[] => deliveries.map(({ event }) => event.path);
export const idsOf = (deliveries: readonly Delivery[]): string[] => deliveries.map(({ event }) => event.id);
export const keyOf = ({ eventId, cursor }: Receipt): CausalKey => ({ id: eventId, cursor });
