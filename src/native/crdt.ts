/** CRDT objects and clocks of the core. */
import type { CrdtKey, CrdtState } from '../contracts/index.js';
import { addon } from './addon.js';
import { calling } from './errors.js';

type NativeObject = InstanceType<ReturnType<typeof addon>['CrdtObject']>;

/** An object's state in the core; collected with this handle. */
export class NativeCrdt implements CrdtState {
  readonly #object: NativeObject;

  /** `actor` makes the dots of local writes: no other replica may have it. `seed`: random. Throws `CRDT_LIMIT` for a name too long. */
  constructor({ type, map }: Pick<CrdtKey, 'type' | 'map'>, actor: string, seed: number) {
    this.#object = calling(() => new (addon().CrdtObject)(type, map, actor, seed));
  }

  /** Takes in a state or a delta; below 0 `nowMs` takes any timestamp. Throws `CRDT_STATE_INVALID`, `CRDT_TYPE_MISMATCH`, `CRDT_LIMIT` or `CLOCK_AHEAD`, and nothing has changed. */
  merge(bytes: Uint8Array, nowMs: number): boolean {
    return calling(() => this.#object.merge(bytes, nowMs));
  }
  state(): Uint8Array {
    return this.#object.state();
  }
  takeDelta(): Uint8Array | null {
    return this.#object.takeDelta();
  }
  actAs(actor: string): void {
    calling(() => this.#object.actAs(actor));
  }
  takeDeltas(bytesMax: number): readonly Uint8Array[] {
    return this.#object.takeDeltas(bytesMax);
  }
  beginCompare(): Uint8Array {
    return this.#object.beginCompare();
  }
  /** Takes a message of a comparison. Throws `CRDT_STATE_INVALID` or `CRDT_TYPE_MISMATCH`, and nothing has changed. */
  compare(message: Uint8Array): { readonly reply: Uint8Array | null; readonly delta: Uint8Array | null; readonly changed: boolean } {
    const { reply, delta, changed } = calling(() => this.#object.compare(message));
    return { reply: reply ?? null, delta: delta ?? null, changed };
  }
  add(key: Uint8Array, by: number): void {
    calling(() => this.#object.add(key, by));
  }
  count(key: Uint8Array): number {
    return calling(() => this.#object.count(key));
  }
  set(key: Uint8Array, value: Uint8Array, nowMs: number): void {
    calling(() => this.#object.set(key, value, nowMs));
  }
  setAll(keysAndValues: Uint8Array, nowMs: number): void {
    calling(() => this.#object.setAll(keysAndValues, nowMs));
  }
  values(key: Uint8Array): Uint8Array {
    return calling(() => this.#object.values(key));
  }
  insertAll(key: Uint8Array, elements: Uint8Array): number {
    return calling(() => this.#object.insertAll(key, elements));
  }
  removeAll(key: Uint8Array, elements: Uint8Array): number {
    return calling(() => this.#object.removeAll(key, elements));
  }
  has(key: Uint8Array, element: Uint8Array): boolean {
    return calling(() => this.#object.has(key, element));
  }
  elements(key: Uint8Array): Uint8Array {
    return calling(() => this.#object.elements(key));
  }
  hasKey(key: Uint8Array): boolean {
    return calling(() => this.#object.hasKey(key));
  }
  keys(): Uint8Array {
    return calling(() => this.#object.keys());
  }
  entries(): Uint8Array {
    return calling(() => this.#object.entries());
  }
  delete(key: Uint8Array): boolean {
    return calling(() => this.#object.delete(key));
  }
  watch(watched: boolean): void {
    this.#object.watch(watched);
  }
  takeTouched(): { readonly keys: Uint8Array; readonly overflow: boolean } {
    return this.#object.takeTouched();
  }
  get size(): number {
    return this.#object.size;
  }
  get memoryBytes(): number {
    return this.#object.memoryBytes;
  }
}

/** How one vector clock stands to another. */
export const CLOCK_RELATION = { equal: 0, before: 1, after: 2, concurrent: 3 } as const;

/** Merges vector clocks, rows of counters one after another, into others: entry by entry the greater. */
export function mergeClocks(into: BigUint64Array, from: BigUint64Array): void {
  calling(() => addon().mergeClocks(into, from));
}

/** Compares vector clocks, rows of `width` counters. Answers one of `CLOCK_RELATION` for each row: how that of `one` stands to that of `other`. */
export function compareClocks(one: BigUint64Array, other: BigUint64Array, width: number): Uint8Array {
  return calling(() => addon().compareClocks(one, other, width));
}
