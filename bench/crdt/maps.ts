/** Maps whose last writer wins, of this package and of others, each through its public API. */
import { next as Automerge } from '@automerge/automerge';
import { LoroDoc } from 'loro-crdt';
import * as Y from 'yjs';
import { CrdtReplica } from '../../dist/index.js';

export type Entries = readonly (readonly [key: string, value: number])[];

/** One replica of a map. */
export interface MapReplica {
  assign(entries: Entries): void;
  /** The whole state. */
  state(): Uint8Array;
  /** What was written since the last call. */
  delta(): Uint8Array;
  merge(bytes: Uint8Array): void;
  read(): Record<string, unknown>;
}

export interface MapKind {
  readonly name: string;
  make(actor: number): MapReplica;
}

const MAP = { name: 'map', type: 'lww-register', map: true } as const;

const ours: MapKind = {
  name: 'ours',
  make(actor) {
    const replica = new CrdtReplica({ actor: `actor-${actor}` });
    const map = replica.map('map');
    return {
      assign: (entries) => map.assign(entries),
      state: () => replica.state(MAP),
      delta: () => replica.takeDeltas()[0]?.bytes ?? new Uint8Array(),
      merge: (bytes) => void replica.merge({ ...MAP, bytes }),
      read: () => Object.fromEntries(map.entries()),
    };
  },
};

/** What one would write without a library: the latest timestamp wins, then the actor. */
const handWritten: MapKind = {
  name: 'json',
  make(actor) {
    type Cell = [value: number, at: number, by: number];
    const cells = new Map<string, Cell>();
    const since = new Set<string>();
    let clock = 0;
    const encode = (entries: Iterable<[string, Cell]>) => new TextEncoder().encode(JSON.stringify([...entries]));
    return {
      assign(entries) {
        for (const [key, value] of entries) {
          clock = Math.max(clock + 1, Date.now() * 1000);
          cells.set(key, [value, clock, actor]);
          since.add(key);
        }
      },
      state: () => encode(cells),
      delta() {
        const bytes = encode([...since].map((key) => [key, cells.get(key) as Cell]));
        since.clear();
        return bytes;
      },
      merge(bytes) {
        for (const [key, cell] of JSON.parse(new TextDecoder().decode(bytes)) as [string, Cell][]) {
          const own = cells.get(key);
          if (own === undefined || own[1] < cell[1] || (own[1] === cell[1] && own[2] < cell[2])) cells.set(key, cell);
        }
      },
      read: () => Object.fromEntries([...cells].map(([key, [value]]) => [key, value])),
    };
  },
};

const yjs: MapKind = {
  name: 'yjs',
  make(actor) {
    const doc = new Y.Doc();
    doc.clientID = actor + 1;
    const map = doc.getMap<number>('map');
    let told = Y.encodeStateVector(doc);
    return {
      assign: (entries) => doc.transact(() => {
          for (const [key, value] of entries) map.set(key, value);
        }),
      state: () => Y.encodeStateAsUpdate(doc),
      delta() {
        const bytes = Y.encodeStateAsUpdate(doc, told);
        told = Y.encodeStateVector(doc);
        return bytes;
      },
      merge: (bytes) => Y.applyUpdate(doc, bytes),
      read: () => map.toJSON(),
    };
  },
};

const loro: MapKind = {
  name: 'loro',
  make(actor) {
    const doc = new LoroDoc();
    doc.setPeerId(BigInt(actor + 1));
    const map = doc.getMap('map');
    let told = doc.version();
    return {
      assign(entries) {
        for (const [key, value] of entries) map.set(key, value);
        doc.commit();
      },
      state: () => doc.export({ mode: 'snapshot' }),
      delta() {
        const bytes = doc.export({ mode: 'update', from: told });
        told = doc.version();
        return bytes;
      },
      merge: (bytes) => void doc.import(bytes),
      read: () => map.toJSON() as Record<string, unknown>,
    };
  },
};

const automerge: MapKind = {
  name: 'automerge',
  make(actor) {
    let doc = Automerge.init<Record<string, number>>({ actor: (actor + 1).toString(16).padStart(32, '0') });
    let told = Automerge.getHeads(doc);
    return {
      assign(entries) {
        doc = Automerge.change(doc, (draft) => {
          for (const [key, value] of entries) draft[key] = value;
        });
      },
      state: () => Automerge.save(doc),
      delta() {
        const bytes = Automerge.saveSince(doc, told);
        told = Automerge.getHeads(doc);
        return bytes;
      },
      merge(bytes) {
        doc = Automerge.loadIncremental(doc, bytes);
      },
      read: () => ({ ...doc }),
    };
  },
};

/** `keysMax`: what is enough for one that takes seconds for it. */
export const MAPS: readonly (MapKind & { readonly keysMax: number })[] = [
  { ...ours, keysMax: Number.POSITIVE_INFINITY },
  { ...handWritten, keysMax: Number.POSITIVE_INFINITY },
  { ...yjs, keysMax: Number.POSITIVE_INFINITY },
  { ...loro, keysMax: Number.POSITIVE_INFINITY },
  { ...automerge, keysMax: 10_000 },
];
