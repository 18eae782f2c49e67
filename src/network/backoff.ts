/** Waiting times between dials: exponential, each drawn from the upper half of its step so that peers fall out of step. */
export class Backoff {
  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #stepMs: number;

  /** `random` gives numbers in [0, 1). */
  constructor(minMs: number, maxMs: number, random: () => number) {
    this.#minMs = minMs;
    this.#maxMs = maxMs;
    this.#random = random;
    this.#stepMs = minMs;
  }

  nextMs(): number {
    const waitMs = this.#stepMs * (0.5 + this.#random() / 2);
    this.#stepMs = Math.min(this.#stepMs * 2, this.#maxMs);
    return waitMs;
  }

  reset(): void {
    this.#stepMs = this.#minMs;
  }
}
