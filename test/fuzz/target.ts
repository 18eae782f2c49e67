export interface Target {
  readonly name: string;
  /** What it reads. */
  readonly reads: string;
  /** Longer inputs are cut. */
  readonly bytesMax: number;
  /** What inputs are made of: put in whole. */
  readonly words: readonly string[];
  /** What there is before anything was found. */
  seeds(): readonly Uint8Array[];
  /** Throws for what must not be: an answer that does not hold, or an error that says no code of ours. */
  run(bytes: Uint8Array): void | Promise<void>;
}
