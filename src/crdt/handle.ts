import type { CrdtChange, CrdtHandle, CrdtType } from '../contracts/index.js';
import type { LocalObject } from './object.js';
import { ValueWriter } from './value.js';

const EMPTY = new Uint8Array(0);

/** Packs what crosses to the core; each use is over before the next begins. */
export const writer = new ValueWriter();

/** What all handles share: an object, and the key under which they see it where it is a map. */
export abstract class Handle<W> implements CrdtHandle {
  protected readonly object: LocalObject<W>;
  /** Empty where the object is no map. */
  protected readonly scope: Uint8Array;

  constructor(object: LocalObject<W>, scope: Uint8Array = EMPTY) {
    [this.object, this.scope] = [object, scope];
  }

  get name(): string {
    return this.object.key.name;
  }

  get type(): CrdtType {
    return this.object.key.type;
  }

  /** Under a map's key: changes anywhere in the map. */
  onChange(listener: (change: CrdtChange) => void): () => void {
    return this.object.onChange(listener);
  }
}

/** A map's key, in bytes of its own. */
export function keyBytes(key: string): Uint8Array {
  return new Uint8Array(writer.clear().key(key).bytes);
}
