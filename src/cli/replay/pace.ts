/** Lets `rate` operations a second through; null for as many as go. */
export class Pace {
  #startMs: number | null = null;
  #taken = 0;

  constructor(private readonly rate: number | null) {}

  /** Resolves when the next operation is due. */
  async turn(): Promise<void> {
    if (this.rate === null) return;
    this.#startMs ??= performance.now();
    const dueMs = this.#startMs + (this.#taken * 1000) / this.rate;
    this.#taken += 1;
    const waitMs = dueMs - performance.now();
    if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}
