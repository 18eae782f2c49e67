/** Replicas that are filled and then held, for their memory: maps and sets, of this package and of others. */
import { createRequire } from 'node:module';
import { CrdtReplica } from '../../dist/index.js';
import { MAPS } from './maps.js';
import { deltaCrdts, SET } from './sets.js';

export interface Holder {
  write(from: number, to: number): void;
  /** `null`, both: it has no encoded form. */
  readonly state: (() => Uint8Array) | null;
  readonly merge: ((bytes: Uint8Array) => void) | null;
  /** How many elements there are, all of them read: what is decoded when it is first read has then been. */
  size(): number;
}

export interface HolderKind {
  readonly form: 'map' | 'set';
  readonly name: string;
  /** For one that takes seconds for it. */
  readonly elementsMax: number;
  make(): Holder;
}

/** Each addition of delta-crdts copies what is there: small replicas, joined step by step, come to the same. */
const PART = 100;

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, at) => from + at);
/** Values without a pattern, as the other figures have them. */
const scattered = (at: number): number => (at * 2_654_435_761) % 1_000_003;

const maps: readonly HolderKind[] = MAPS.map(({ name, keysMax, make }) => ({
  form: 'map',
  name,
  elementsMax: keysMax,
  make() {
    const map = make(1);
    return {
      write(from, to) {
        map.assign(range(from, to).map((at) => [`key-${at}`, scattered(at)] as const));
        // What is still to be told to others is no part of the state.
        map.delta();
      },
      state: () => map.state(),
      merge: (bytes) => map.merge(bytes),
      size: () => Object.keys(map.read()).length,
    };
  },
}));

interface DeltaMap {
  applySub(key: string, type: 'mvreg', mutator: 'write', value: number): unknown;
  apply(delta: unknown): unknown;
  state(): unknown;
  value(): Readonly<Record<string, unknown>>;
}
const deltaMap = createRequire(import.meta.url)('delta-crdts')('ormap') as (actor: string) => DeltaMap;

const deltaCrdtsMap: HolderKind = {
  form: 'map',
  name: 'deltacrdts',
  elementsMax: 10_000,
  make() {
    const map = deltaMap('a');
    return {
      write(from, to) {
        const batch = deltaMap('b');
        for (let first = from; first < to; first += PART) {
          const part = deltaMap(`a${first}`);
          for (const at of range(first, Math.min(first + PART, to))) part.applySub(`key-${at}`, 'mvreg', 'write', scattered(at));
          batch.apply(part.state());
        }
        map.apply(batch.state());
      },
      state: null,
      merge: null,
      size: () => Object.keys(map.value()).length,
    };
  },
};

const sets: readonly HolderKind[] = [
  {
    form: 'set',
    name: 'ours',
    elementsMax: Number.POSITIVE_INFINITY,
    make() {
      const replica = new CrdtReplica({ actor: 'a' });
      return {
        write(from, to) {
          replica.set('s').add(...range(from, to));
          replica.takeDeltas();
        },
        state: () => replica.state(SET),
        merge: (bytes) => void replica.merge({ ...SET, bytes }),
        size: () => [...replica.set('s').values()].length,
      };
    },
  },
  {
    form: 'set',
    name: 'deltacrdts',
    elementsMax: 10_000,
    make() {
      const set = deltaCrdts('aworset')('a');
      return {
        write(from, to) {
          const batch = deltaCrdts('aworset')('b');
          for (let first = from; first < to; first += PART) {
            const part = deltaCrdts('aworset')(`a${first}`);
            for (const element of range(first, Math.min(first + PART, to))) part.add(element);
            batch.apply(part.state());
          }
          set.apply(batch.state());
        },
        state: null,
        merge: null,
        size: () => set.value().size,
      };
    },
  },
  {
    // JavaScript's own, which nobody can merge: what the elements alone take.
    form: 'set',
    name: 'plain',
    elementsMax: Number.POSITIVE_INFINITY,
    make() {
      const set = new Set<number>();
      return {
        write: (from, to) => range(from, to).forEach((element) => void set.add(element)),
        state: null,
        merge: null,
        size: () => set.size,
      };
    },
  },
];

export const HOLDERS: readonly HolderKind[] = [...maps, deltaCrdtsMap, ...sets];
