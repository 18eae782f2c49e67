import type { CrdtCounter } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { Handle } from './handle.js';

export class Counter<W> extends Handle<W> implements CrdtCounter<W> {
  increment(by = 1): W {
    return this.#add(by, 1);
  }

  decrement(by = 1): W {
    if (this.type === 'g-counter') throw new CoordinatorError('CRDT_TYPE_MISMATCH', `counter ${JSON.stringify(this.name)} only grows; allowed: increment, or a counter of type pn-counter.`);
    return this.#add(by, -1);
  }

  value(): number {
    return this.object.state.count(this.scope);
  }

  #add(by: number, sign: 1 | -1): W {
    if (!Number.isSafeInteger(by) || by < 0) throw new CoordinatorError('CRDT_VALUE_INVALID', `an amount of ${String(by)}; allowed: a safe integer of at least 0.`);
    return this.object.write(() => this.object.state.add(this.scope, by * sign));
  }
}
