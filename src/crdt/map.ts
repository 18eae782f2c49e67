import type { CrdtMap, CrdtMapOf, CrdtValue } from '../contracts/index.js';
import { Handle, keyBytes, writer } from './handle.js';
import type { LocalObject } from './object.js';
import { pairsOf, textsOf, valuesOf } from './packed.js';

/** Keys with a last-writer-wins register each. */
export class RegisterMap<W> extends Handle<W> implements CrdtMap<W> {
  set(key: string, value: CrdtValue): W {
    return this.assign([[key, value]]);
  }

  assign(entries: Iterable<readonly [key: string, value: CrdtValue]>): W {
    writer.clear();
    for (const [key, value] of entries) {
      writer.packed(() => writer.key(key));
      writer.packed(() => writer.value(value));
    }
    const packed = writer.bytes;
    return this.object.write(() => this.object.state.setAll(packed, this.object.nowMs()));
  }

  get(key: string): CrdtValue | undefined {
    return valuesOf(this.object.state.values(writer.clear().key(key).bytes))[0];
  }

  has(key: string): boolean {
    return this.object.state.hasKey(writer.clear().key(key).bytes);
  }

  delete(key: string): W {
    return this.object.write(() => this.object.state.delete(writer.clear().key(key).bytes));
  }

  keys(): string[] {
    return textsOf(this.object.state.keys());
  }

  entries(): [key: string, value: CrdtValue][] {
    return pairsOf(this.object.state.entries());
  }

  get size(): number {
    return this.object.state.size;
  }
}

/** Keys with a handle each. */
export class HandleMap<W, H> extends Handle<W> implements CrdtMapOf<W, H> {
  readonly #open: (object: LocalObject<W>, key: Uint8Array) => H;

  constructor(object: LocalObject<W>, open: (object: LocalObject<W>, key: Uint8Array) => H) {
    super(object);
    this.#open = open;
  }

  at(key: string): H {
    return this.#open(this.object, keyBytes(key));
  }

  has(key: string): boolean {
    return this.object.state.hasKey(writer.clear().key(key).bytes);
  }

  delete(key: string): W {
    return this.object.write(() => this.object.state.delete(writer.clear().key(key).bytes));
  }

  keys(): string[] {
    return textsOf(this.object.state.keys());
  }
}
