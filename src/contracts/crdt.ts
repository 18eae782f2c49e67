/** What registers and maps hold, and the elements of sets. Equal values are equal on every replica, whatever the order of their fields. */
export type CrdtValue = null | boolean | number | bigint | string | Uint8Array | readonly CrdtValue[] | { readonly [field: string]: CrdtValue };

/** The types, by the names that encoded states carry. */
export type CrdtType = 'g-counter' | 'pn-counter' | 'lww-register' | 'mv-register' | 'or-set' | 'two-phase-set';

/** What has changed, locally or from elsewhere. */
export interface CrdtChange {
  /** Keys of the map or elements of the set; null where there are too many to name, or where there is only one thing that can change. */
  readonly keys: readonly CrdtValue[] | null;
  /** Whether the change came from another replica. */
  readonly remote: boolean;
}

/** Common to all handles. */
export interface CrdtHandle {
  readonly name: string;
  readonly type: CrdtType;
  /** Calls `listener` after each change; the answer ends it. */
  onChange(listener: (change: CrdtChange) => void): () => void;
}

/** `W` is what a write answers: nothing on a replica by itself. */
export interface CrdtCounter<W> extends CrdtHandle {
  /** By a safe integer of at least 0. Throws `CRDT_LIMIT` beyond what a number counts exactly. */
  increment(by?: number): W;
  /** Throws `CRDT_TYPE_MISMATCH` for a counter that only grows. */
  decrement(by?: number): W;
  value(): number;
}

/** Of concurrent writes the one with the latest hybrid clock wins. */
export interface CrdtRegister<W> extends CrdtHandle {
  set(value: CrdtValue): W;
  /** Undefined where it was never set. */
  get(): CrdtValue | undefined;
}

/** Concurrent writes stand side by side until one follows them. */
export interface CrdtMultiRegister<W> extends CrdtHandle {
  set(value: CrdtValue): W;
  values(): CrdtValue[];
}

/** An addition wins over a removal that has not seen it; in a `two-phase-set` a removal is for good. */
export interface CrdtSet<W> extends CrdtHandle {
  add(...elements: readonly CrdtValue[]): W;
  delete(...elements: readonly CrdtValue[]): W;
  has(element: CrdtValue): boolean;
  /** In an order that is the same on every replica. */
  values(): CrdtValue[];
  readonly size: number;
}

/** Keys with a register each. */
export interface CrdtMap<W> extends CrdtHandle {
  set(key: string, value: CrdtValue): W;
  /** Several keys in one write. */
  assign(entries: Iterable<readonly [key: string, value: CrdtValue]>): W;
  get(key: string): CrdtValue | undefined;
  has(key: string): boolean;
  delete(key: string): W;
  keys(): string[];
  /** In an order that is the same on every replica. */
  entries(): [key: string, value: CrdtValue][];
  readonly size: number;
}

/** Keys with a handle `H` each. What is under a key begins with the first write to it. */
export interface CrdtMapOf<W, H> extends CrdtHandle {
  at(key: string): H;
  has(key: string): boolean;
  /** Removes what was seen under the key: what others do there meanwhile stays. */
  delete(key: string): W;
  keys(): string[];
}

/** The handles by which each type is used. */
export interface CrdtHandles<W> {
  'g-counter': CrdtCounter<W>;
  'pn-counter': CrdtCounter<W>;
  'lww-register': CrdtRegister<W>;
  'mv-register': CrdtMultiRegister<W>;
  'or-set': CrdtSet<W>;
  'two-phase-set': CrdtSet<W>;
}

/** Objects by name. One name may be used once for each type. */
export interface CrdtObjects<W> {
  counter(name: string, options?: { readonly type?: 'pn-counter' | 'g-counter' }): CrdtCounter<W>;
  register(name: string): CrdtRegister<W>;
  multiRegister(name: string): CrdtMultiRegister<W>;
  set(name: string, options?: { readonly type?: 'or-set' | 'two-phase-set' }): CrdtSet<W>;
  map(name: string): CrdtMap<W>;
  map<T extends CrdtType>(name: string, options: { readonly of: T }): CrdtMapOf<W, CrdtHandles<W>[T]>;
}

/** Which object: its name, its type, and whether it is a map of that type. */
export interface CrdtKey {
  readonly name: string;
  readonly type: CrdtType;
  readonly map: boolean;
}

/** What changed in one object. */
export interface CrdtDelta extends CrdtKey {
  readonly bytes: Uint8Array;
}

/** What came of a message of a comparison. */
export interface CrdtCompared {
  /** To be handed to the other replica; null at the end. */
  readonly reply: Uint8Array | null;
  /** What the other replica has missed; null for nothing. */
  readonly delta: CrdtDelta | null;
  /** Whether anything has changed here. */
  readonly changed: boolean;
}

/**
 * An object's state, kept by the native core. Keys, elements and values are bytes; several of them are one buffer: a u32 length,
 * little-endian, and as many bytes, over and over. A map's key is empty where the object is no map.
 */
export interface CrdtState {
  merge(bytes: Uint8Array, nowMs: number): boolean;
  state(): Uint8Array;
  /** From now on local writes are this actor's. */
  actAs(actor: string): void;
  takeDelta(): Uint8Array | null;
  /** In deltas of so many bytes at most, but for a single larger fact; they are to be taken in this order. */
  takeDeltas(bytesMax: number): readonly Uint8Array[];
  beginCompare(): Uint8Array;
  compare(message: Uint8Array): { readonly reply: Uint8Array | null; readonly delta: Uint8Array | null; readonly changed: boolean };
  add(key: Uint8Array, by: number): void;
  count(key: Uint8Array): number;
  set(key: Uint8Array, value: Uint8Array, nowMs: number): void;
  setAll(keysAndValues: Uint8Array, nowMs: number): void;
  values(key: Uint8Array): Uint8Array;
  insertAll(key: Uint8Array, elements: Uint8Array): number;
  removeAll(key: Uint8Array, elements: Uint8Array): number;
  has(key: Uint8Array, element: Uint8Array): boolean;
  elements(key: Uint8Array): Uint8Array;
  hasKey(key: Uint8Array): boolean;
  keys(): Uint8Array;
  entries(): Uint8Array;
  delete(key: Uint8Array): boolean;
  watch(watched: boolean): void;
  takeTouched(): { readonly keys: Uint8Array; readonly overflow: boolean };
  readonly size: number;
  readonly memoryBytes: number;
}
