/** Order statistics over measured values. */

/** The value below which the share `p` (0 to 1) of `values` lies, by the nearest-rank method; NaN of nothing. */
export function percentile(values: ArrayLike<number>, p: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? Number.NaN;
}

export function median(values: ArrayLike<number>): number {
  return percentile(values, 0.5);
}

/** A list of numbers that grows without keeping one object a value. */
export class Samples {
  #values = new Float64Array(1024);
  #size = 0;

  add(value: number): void {
    if (this.#size === this.#values.length) {
      const grown = new Float64Array(this.#size * 2);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#size++] = value;
  }

  get size(): number {
    return this.#size;
  }

  /** A copy of its own. */
  values(): Float64Array {
    return this.#values.slice(0, this.#size);
  }
}
