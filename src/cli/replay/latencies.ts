/** Percentiles of what was measured, by sorting it all: replays are bounded by their trace. */
export class Latencies {
  #values = new Float64Array(1024);
  #count = 0;
  #sorted = true;

  add(value: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(this.#values.length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#count++] = value;
    this.#sorted = false;
  }

  /** The smallest value that at least this share (0 to 1) of all does not exceed; 0 when there is none. */
  at(share: number): number {
    if (!this.#sorted) this.#values.subarray(0, this.#count).sort();
    this.#sorted = true;
    return this.#values[Math.max(0, Math.ceil(share * this.#count) - 1)] ?? 0;
  }
}
