/** When a packet that is handed to a line comes out of it: delay, jitter, loss and reordering, from a seed. No clock and no socket. */
import { Random } from '../../endurance/random.js';

/** One direction between two hosts. Times are one way, in ms; shares are from 0 to 1. */
export interface LineSettings {
  readonly delayMs: number;
  /** Up to so much more, drawn for each packet; packets keep their order all the same. */
  readonly jitterMs?: number;
  readonly loss?: number;
  /** Of the packets, how many take `jitterMs`, or 1 ms, longer and are overtaken. */
  readonly reordered?: number;
}

const REORDERED_MS_MIN = 1;

export class Line {
  readonly #settings: Required<LineSettings>;
  readonly #random: Random;
  /** When the last one that keeps its place comes out. */
  #lastMs = 0;
  lost = 0;
  passed = 0;

  constructor(settings: LineSettings, seed: number) {
    this.#settings = { jitterMs: 0, loss: 0, reordered: 0, ...settings };
    this.#random = new Random(seed);
  }

  /** When a packet comes out that is handed in now; null where it is lost. */
  due(nowMs: number): number | null {
    const { delayMs, jitterMs, loss, reordered } = this.#settings;
    if (this.#random.chance(loss)) {
      this.lost += 1;
      return null;
    }
    this.passed += 1;
    const dueMs = nowMs + delayMs + this.#random.next() * jitterMs;
    if (this.#random.chance(reordered)) return dueMs + Math.max(jitterMs, REORDERED_MS_MIN);
    this.#lastMs = Math.max(this.#lastMs, dueMs);
    return this.#lastMs;
  }
}
