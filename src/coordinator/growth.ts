/** Waiting for the journal to grow; the core tells of it only while somebody waits. */
import type { Core } from '../native/index.js';

export class Growth {
  readonly #core: Core;
  readonly #waiting = new Set<() => void>();

  constructor(core: Core) {
    this.#core = core;
  }

  /** Resolves when more than `applied` is applied here, or `signal` aborts. May resolve early. */
  past(applied: bigint, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake);
        this.#waiting.delete(wake);
        resolve();
      };
      signal.addEventListener('abort', wake, { once: true });
      this.#waiting.add(wake);
      if (this.#waiting.size === 1) this.#core.watchJournal(true);
      // It may have grown before it was watched.
      if (this.#core.appliedIndex() > applied) wake();
    });
  }

  /** The core says that the journal has grown, or that the node has ended. */
  wakeAll(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  /** After a wake: nobody waits, nothing needs telling. */
  rest(): void {
    if (this.#waiting.size === 0) this.#core.watchJournal(false);
  }
}
