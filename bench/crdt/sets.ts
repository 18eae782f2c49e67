/** Sets in which additions win, of this package and of delta-crdts, each through its public API. */
import { createRequire } from 'node:module';
import { CrdtReplica } from '../../dist/index.js';

/** delta-crdts takes seconds for a few thousand additions. */
export const PEER_ELEMENTS = 500;

/** delta-crdts has no types of its own. */
export interface DeltaSet {
  add(element: number): unknown;
  remove(element: number): unknown;
  apply(delta: unknown): unknown;
  state(): unknown;
  value(): ReadonlySet<number>;
}
export const deltaCrdts = createRequire(import.meta.url)('delta-crdts') as (type: 'aworset') => (actor: string) => DeltaSet;

export interface SetPair {
  readonly name: string;
  /** Two replicas with the same elements, of which each has then changed one in ten: merges the second's state into the first. */
  prepare(elements: number): () => ReadonlySet<unknown>;
}

export const SET = { name: 's', type: 'or-set', map: false } as const;

export const SETS: readonly SetPair[] = [
  {
    name: 'ours',
    prepare(elements) {
      const [one, other] = [new CrdtReplica({ actor: 'a' }), new CrdtReplica({ actor: 'b' })];
      one.set('s').add(...Array.from({ length: elements }, (_, at) => at));
      other.merge({ ...SET, bytes: one.state(SET) });
      for (let at = 0; at < elements / 20; at++) {
        other.set('s').delete(at * 7);
        other.set('s').add(elements + at);
      }
      const bytes = other.state(SET);
      return () => {
        one.merge({ ...SET, bytes });
        return new Set(one.set('s').values());
      };
    },
  },
  {
    name: 'deltacrdts',
    prepare(elements) {
      const [one, other] = [deltaCrdts('aworset')('a'), deltaCrdts('aworset')('b')];
      for (let at = 0; at < elements; at++) one.add(at);
      other.apply(one.state());
      for (let at = 0; at < elements / 20; at++) {
        other.remove(at * 7);
        other.add(elements + at);
      }
      return () => {
        one.apply(other.state());
        return one.value();
      };
    },
  },
];
