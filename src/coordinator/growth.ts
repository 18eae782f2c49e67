/** Waiting for a journal to grow; the core tells of it only while somebody waits. */
import { CAUSAL_GROUP, type Core } from '../native/index.js';

export class Growth {
  readonly #core: Pick<Core, 'appliedIndex' | 'watchCausal' | 'watchJournal'>;
  /** Who waits, by group. */
  readonly #waiting = new Map<number, Set<() => void>>();
  /** What the core was told. */
  readonly #watched = { ordered: false, causal: false };

  constructor(core: Pick<Core, 'appliedIndex' | 'watchCausal' | 'watchJournal'>) {
    this.#core = core;
  }

  /** Resolves when more than `applied` is applied here in the group, or delivered of the causal lane, or `signal` aborts. May resolve early. */
  past(group: number, applied: bigint, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(group) ?? new Set();
      const wake = () => {
        signal.removeEventListener('abort', wake);
        waiting.delete(wake);
        if (waiting.size === 0) this.#waiting.delete(group);
        resolve();
      };
      signal.addEventListener('abort', wake, { once: true });
      waiting.add(wake);
      this.#waiting.set(group, waiting);
      this.#watch(group === CAUSAL_GROUP ? 'causal' : 'ordered', true);
      // It may have grown before it was watched.
      if (this.#core.appliedIndex(group) > applied) wake();
    });
  }

  /** The core says that a group's journal has grown. */
  wake(group: number): void {
    for (const wake of [...(this.#waiting.get(group) ?? [])]) wake();
  }

  /** After a wake: where nobody waits, nothing needs telling. */
  rest(): void {
    const causal = this.#waiting.has(CAUSAL_GROUP);
    if (!causal) this.#watch('causal', false);
    if (this.#waiting.size === (causal ? 1 : 0)) this.#watch('ordered', false);
  }

  #watch(lane: 'ordered' | 'causal', watched: boolean): void {
    if (this.#watched[lane] === watched) return;
    this.#watched[lane] = watched;
    if (lane === 'causal') this.#core.watchCausal(watched);
    else this.#core.watchJournal(watched);
  }
}
