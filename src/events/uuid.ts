import { v7 } from 'uuid';

/** What making ids needs from the world. */
export interface IdPorts {
  /** Milliseconds since 1970. */
  nowMs(): number;
  /** Fills the whole buffer with random bytes. */
  fillRandom(buffer: Uint8Array): void;
}

export const UUID_BYTES = 16;
const POOL_BYTES = 4096;

/** Two hex digits of each byte. */
const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Value of each hex digit by its character code; 255 for other characters. */
const DIGIT = new Uint8Array(256).fill(255);
for (let value = 0; value < 16; value++) {
  DIGIT[value.toString(16).charCodeAt(0)] = value;
  DIGIT[value.toString(16).toUpperCase().charCodeAt(0)] = value;
}

/** Where in the text each byte's first digit stands. */
const PLACES = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34] as const;
const HYPHEN = 45;

/** Writes the 16 bytes of a UUID of any version; false when the text is none, or the nil UUID, which stands for "no id". */
export function writeUuid(text: string, target: Uint8Array, offset: number): boolean {
  if (text.length !== 36) return false;
  if (text.charCodeAt(8) !== HYPHEN || text.charCodeAt(13) !== HYPHEN || text.charCodeAt(18) !== HYPHEN || text.charCodeAt(23) !== HYPHEN) return false;
  let any = 0;
  for (let byte = 0; byte < UUID_BYTES; byte++) {
    const place = PLACES[byte] as number;
    // A character beyond the table reads as undefined, which is not below 16 either.
    const high = DIGIT[text.charCodeAt(place)] as number;
    const low = DIGIT[text.charCodeAt(place + 1)] as number;
    if (!(high < 16 && low < 16)) return false;
    const value = high * 16 + low;
    any |= value;
    target[offset + byte] = value;
  }
  return any !== 0;
}

/** The bytes of a UUID, or null as in `writeUuid`. */
export function parseUuid(text: string): Uint8Array | null {
  const bytes = new Uint8Array(UUID_BYTES);
  return writeUuid(text, bytes, 0) ? bytes : null;
}

/** The canonical lower-case text of the 16 bytes at `offset`. */
export function formatUuid(bytes: Uint8Array, offset = 0): string {
  const hex = (byte: number) => HEX[bytes[offset + byte] as number] as string;
  return (
    `${hex(0)}${hex(1)}${hex(2)}${hex(3)}-${hex(4)}${hex(5)}-${hex(6)}${hex(7)}-` +
    `${hex(8)}${hex(9)}-${hex(10)}${hex(11)}${hex(12)}${hex(13)}${hex(14)}${hex(15)}`
  );
}

/** A new version 7 UUID from the package's own clock and randomness, for callers that make few and hold no ports. */
export function newEventId(): string {
  return v7();
}

/**
 * Makes version 7 UUIDs that rise strictly within this process.
 *
 * Randomness is drawn 4 KiB at a time: the package's own source costs a microsecond an id, the pool 70 ns.
 */
export class EventIds {
  readonly #ports: IdPorts;
  readonly #pool = new Uint8Array(POOL_BYTES);
  #used = POOL_BYTES;
  /** Invariant: (msecs, seq) rises with every id, also when the clock stands still or goes back. */
  readonly #options = { random: new Uint8Array(UUID_BYTES), msecs: -1, seq: 0 };

  constructor(ports: IdPorts) {
    this.#ports = ports;
  }

  /** Writes a new id's 16 bytes. */
  write(target: Uint8Array, offset: number): void {
    if (this.#used === POOL_BYTES) {
      this.#ports.fillRandom(this.#pool);
      this.#used = 0;
    }
    const { random } = this.#options;
    for (let byte = 0; byte < UUID_BYTES; byte++) random[byte] = this.#pool[this.#used + byte] as number;
    this.#used += UUID_BYTES;

    const nowMs = this.#ports.nowMs();
    if (nowMs > this.#options.msecs) {
      this.#options.msecs = nowMs;
      // 31 random bits: the sequence has room to rise within the millisecond.
      this.#options.seq = ((random[6] as number) & 0x7f) * 0x1000000 + (((random[7] as number) << 16) | ((random[8] as number) << 8) | (random[9] as number));
    } else if (this.#options.seq === 0xffffffff) {
      this.#options.msecs += 1;
      this.#options.seq = 0;
    } else this.#options.seq += 1;
    v7(this.#options, target, offset);
  }

  /** A new id as text. */
  next(): string {
    const bytes = new Uint8Array(UUID_BYTES);
    this.write(bytes, 0);
    return formatUuid(bytes);
  }
}
