import type { CrdtMultiRegister, CrdtRegister, CrdtValue } from '../contracts/index.js';
import { Handle, writer } from './handle.js';
import { valuesOf } from './packed.js';

export class Register<W> extends Handle<W> implements CrdtRegister<W> {
  set(value: CrdtValue): W {
    return this.object.write(() => this.object.state.set(this.scope, writer.clear().value(value).bytes, this.object.nowMs()));
  }

  get(): CrdtValue | undefined {
    return valuesOf(this.object.state.values(this.scope))[0];
  }
}

export class MultiRegister<W> extends Handle<W> implements CrdtMultiRegister<W> {
  set(value: CrdtValue): W {
    return this.object.write(() => this.object.state.set(this.scope, writer.clear().value(value).bytes, this.object.nowMs()));
  }

  values(): CrdtValue[] {
    return valuesOf(this.object.state.values(this.scope));
  }
}
