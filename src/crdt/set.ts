import type { CrdtSet, CrdtValue } from '../contracts/index.js';
import { Handle, writer } from './handle.js';
import { valuesOf } from './packed.js';

export class ElementSet<W> extends Handle<W> implements CrdtSet<W> {
  add(...elements: readonly CrdtValue[]): W {
    const packed = pack(elements);
    return this.object.write(() => this.object.state.insertAll(this.scope, packed));
  }

  delete(...elements: readonly CrdtValue[]): W {
    const packed = pack(elements);
    return this.object.write(() => this.object.state.removeAll(this.scope, packed));
  }

  has(element: CrdtValue): boolean {
    return this.object.state.has(this.scope, writer.clear().value(element).bytes);
  }

  values(): CrdtValue[] {
    return valuesOf(this.object.state.elements(this.scope));
  }

  get size(): number {
    const { key, state } = this.object;
    return key.map || key.type === 'two-phase-set' ? this.values().length : state.size;
  }
}

function pack(elements: readonly CrdtValue[]): Uint8Array {
  writer.clear();
  for (const element of elements) writer.packed(() => writer.value(element));
  return writer.bytes;
}
