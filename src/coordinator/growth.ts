/** Waiting for the journal to grow; the core tells of it only while somebody waits. */
import type { Core } from '../native/index.js';

export class Growth {
  readonly #core: Core;
  /** Who waits, by group. */
  readonly #waiting = new Map<number, Set<() => void>>();

  constructor(core: Core) {
    this.#core = core;
  }

  /** Resolves when more than `applied` is applied here in the group, or `signal` aborts. May resolve early. */
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
      const first = this.#waiting.size === 0;
      this.#waiting.set(group, waiting);
      if (first) this.#core.watchJournal(true);
      // It may have grown before it was watched.
      if (this.#core.appliedIndex(group) > applied) wake();
    });
  }

  /** The core says that a group's journal has grown. */
  wake(group: number): void {
    for (const wake of [...(this.#waiting.get(group) ?? [])]) wake();
  }

  /** After a wake: nobody waits, nothing needs telling. */
  rest(): void {
    if (this.#waiting.size === 0) this.#core.watchJournal(false);
  }
}
