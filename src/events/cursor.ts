import { CoordinatorError } from '../errors/index.js';

/** What a cursor of the ordered lane names: an event of a group. */
export interface CursorPosition {
  readonly group: number;
  readonly index: bigint;
  readonly offset: number;
}

const VERSION = 1;
const ORDERED_LANE = 0;
const CAUSAL_LANE = 1;
/** Before and behind the place of a cursor of the causal lane. */
const HEAD_BYTES = 4;
const CHECK_BYTES = 4;
/** 65,535 origins and a part. */
const CAUSAL_TEXT_MAX = 2_000_000;
const ANY_TEXT = /^[A-Za-z0-9_-]+$/;
const CURSOR_BYTES = 24;
const CHECKED_BYTES = 20;
const TEXT = /^[A-Za-z0-9_-]{32}$/;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  return rest;
});

/** Goes on with a CRC-32 (IEEE 802.3), whose register is kept inverted between calls. */
function crcOver(bytes: Uint8Array, register: number): number {
  let crc = register;
  for (const byte of bytes) crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ byte) & 0xff] as number);
  return crc;
}

/** Writes and reads the cursors of one cluster (docs/formats.md, "Cursor"). */
export class CursorCodec {
  readonly #clusterId: Uint8Array;

  constructor(clusterId: string) {
    this.#clusterId = Buffer.from(clusterId, 'utf8');
  }

  encode(position: CursorPosition): string {
    const bytes = Buffer.alloc(CURSOR_BYTES);
    bytes[0] = VERSION;
    bytes[1] = ORDERED_LANE;
    bytes.writeUInt32LE(position.group, 4);
    bytes.writeBigUInt64LE(position.index, 8);
    bytes.writeUInt32LE(position.offset, 16);
    bytes.writeUInt32LE(this.#check(bytes, CHECKED_BYTES), CHECKED_BYTES);
    return bytes.toString('base64url');
  }

  /** A cursor of the causal lane; `place` as docs/formats.md has it. */
  encodeCausal(place: Uint8Array): string {
    const bytes = Buffer.alloc(HEAD_BYTES + place.length + CHECK_BYTES);
    bytes[0] = VERSION;
    bytes[1] = CAUSAL_LANE;
    bytes.set(place, HEAD_BYTES);
    bytes.writeUInt32LE(this.#check(bytes, bytes.length - CHECK_BYTES), bytes.length - CHECK_BYTES);
    return bytes.toString('base64url');
  }

  /** The place that a cursor of the causal lane names; null for one of the ordered lane. Throws as `decode`. */
  decodeCausal(text: string): Uint8Array | null {
    if (typeof text !== 'string' || text.length > CAUSAL_TEXT_MAX || !ANY_TEXT.test(text)) throw refusal(text, 'is not one: a cursor is base64url');
    const bytes = Buffer.from(text, 'base64url');
    if (bytes.length < HEAD_BYTES + CHECK_BYTES) throw refusal(text, 'is not one: it is too short');
    if (bytes.length === CURSOR_BYTES && bytes[1] === ORDERED_LANE) return null;
    if (bytes[0] !== VERSION) throw refusal(text, `has version ${bytes[0]}; this release reads version ${VERSION}`);
    const checked = bytes.length - CHECK_BYTES;
    if (checked < HEAD_BYTES || bytes[1] !== CAUSAL_LANE || bytes.readUInt32LE(checked) !== this.#check(bytes, checked)) throw refusal(text, 'is damaged or of another cluster');
    return bytes.subarray(HEAD_BYTES, checked);
  }

  /** Throws `CURSOR_INVALID` for text that is no cursor, is of a newer version, or comes from another cluster or lane. */
  decode(text: string): CursorPosition {
    const refuse = (why: string) => refusal(text, why);
    if (typeof text !== 'string') throw refuse('is not one: a cursor is base64url');
    if (ANY_TEXT.test(text) && Buffer.from(text.slice(0, 4), 'base64url')[1] === CAUSAL_LANE && text.length !== 32) throw refuse('is of the causal lane: it holds for subscriptions to that one');
    if (!TEXT.test(text)) throw refuse('is not one: a cursor has 32 characters of base64url');
    const bytes = Buffer.from(text, 'base64url');
    if (bytes[0] !== VERSION) throw refuse(`has version ${bytes[0]}; this release reads version ${VERSION}`);
    if (bytes.readUInt32LE(CHECKED_BYTES) !== this.#check(bytes, CHECKED_BYTES)) throw refuse('is damaged or of another cluster');
    if (bytes[1] !== ORDERED_LANE) throw refuse(`is of lane ${bytes[1]}, which this release does not serve`);
    return { group: bytes.readUInt32LE(4), index: bytes.readBigUInt64LE(8), offset: bytes.readUInt32LE(16) };
  }

  #check(bytes: Uint8Array, length: number): number {
    return ~crcOver(this.#clusterId, crcOver(bytes.subarray(0, length), -1)) >>> 0;
  }
}

function refusal(text: string, why: string): CoordinatorError {
  return new CoordinatorError('CURSOR_INVALID', `The cursor ${JSON.stringify(String(text).slice(0, 40))} ${why}.`);
}
