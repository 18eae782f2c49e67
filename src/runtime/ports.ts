/** The real clock, randomness and timers, behind the ports that the storeys below and beside are handed. */
import { getRandomValues, randomBytes } from 'node:crypto';

export interface Ports {
  /** Milliseconds since 1970. */
  nowMs(): number;
  /** Milliseconds of a clock that never goes back. */
  monotonicMs(): number;
  fillRandom(buffer: Uint8Array): void;
  /** 64 random bits. */
  randomU64(): bigint;
}

export const realPorts: Ports = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  fillRandom: (buffer) => {
    getRandomValues(buffer);
  },
  randomU64: () => randomBytes(8).readBigUInt64LE(),
};
