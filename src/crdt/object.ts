import type { CrdtChange, CrdtCompared, CrdtKey, CrdtState, CrdtValue } from '../contracts/index.js';
import { eachPart, textsOf, valuesOf } from './packed.js';

/** What a local write goes through: it makes the change and answers what writes answer. */
export type Commit<W> = (object: LocalObject<W>, change: () => void) => W;

/** The replica of one object in this process: its state, and who wants to know of changes. */
export class LocalObject<W> {
  readonly key: CrdtKey;
  readonly state: CrdtState;
  readonly nowMs: () => number;
  readonly #commit: Commit<W>;
  readonly #listeners = new Set<(change: CrdtChange) => void>();

  constructor(key: CrdtKey, state: CrdtState, nowMs: () => number, commit: Commit<W>) {
    [this.key, this.state, this.nowMs, this.#commit] = [key, state, nowMs, commit];
  }

  write(change: () => void): W {
    try {
      return this.#commit(this, change);
    } finally {
      this.#tell(false);
    }
  }

  /** Takes in a state or a delta; below 0 `nowMs` takes any timestamp. True when anything has changed. */
  merge(bytes: Uint8Array, nowMs = this.nowMs()): boolean {
    const changed = this.state.merge(bytes, nowMs);
    if (changed) this.#tell(true);
    return changed;
  }

  /** Takes a message of a comparison with another replica. */
  compare(message: Uint8Array): CrdtCompared {
    const { reply, delta, changed } = this.state.compare(message);
    if (changed) this.#tell(true);
    return { reply, delta: delta === null ? null : { ...this.key, bytes: delta }, changed };
  }

  onChange(listener: (change: CrdtChange) => void): () => void {
    // A function of its own for each call, so that a listener given twice is called twice.
    const own = (change: CrdtChange) => listener(change);
    this.#listeners.add(own);
    this.state.watch(true);
    return () => {
      this.#listeners.delete(own);
      if (this.#listeners.size === 0) this.state.watch(false);
    };
  }

  #tell(remote: boolean): void {
    if (this.#listeners.size === 0) return;
    const { keys, overflow } = this.state.takeTouched();
    if (keys.length === 0 && !overflow) return;
    const change = { keys: overflow ? null : this.#named(keys), remote };
    for (const listener of [...this.#listeners]) {
      try {
        listener(change);
      } catch (thrown) {
        // The write has happened, and others want to know of it too: it is an uncaught error of the listener's.
        queueMicrotask(() => {
          throw thrown;
        });
      }
    }
  }

  #named(packed: Uint8Array): readonly CrdtValue[] | null {
    const { type, map } = this.key;
    const hasElements = type === 'or-set' || type === 'two-phase-set';
    if (map && hasElements) return [...new Set(scopesOf(packed))];
    if (map) return [...new Set(textsOf(packed))];
    return hasElements ? unique(packed) : null;
  }
}

/** An element that was changed twice is named once. */
function unique(packed: Uint8Array): CrdtValue[] {
  const seen = new Map<string, CrdtValue>();
  const values = valuesOf(packed);
  let at = 0;
  eachPart(packed, (bytes, start, end) => seen.set(bytes.toString('latin1', start, end), values[at++] as CrdtValue));
  return [...seen.values()];
}

/** The map's keys of elements: a varint length and the key are in front of each. */
function scopesOf(packed: Uint8Array): string[] {
  const scopes: string[] = [];
  eachPart(packed, (bytes, start) => {
    let [at, length, scale] = [start, 0, 1];
    for (;;) {
      const byte = bytes[at++] as number;
      length += (byte % 0x80) * scale;
      scale *= 0x80;
      if (byte < 0x80) break;
    }
    scopes.push(bytes.toString('utf8', at, at + length));
  });
  return scopes;
}
