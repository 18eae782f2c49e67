/** Lists in one buffer: a u32 length, little-endian, and as many bytes, over and over. */
import type { CrdtValue } from '../contracts/index.js';
import { readValue } from './value.js';

/** Calls `take` for each part, with the buffer and where the part begins and ends. */
export function eachPart(packed: Uint8Array, take: (bytes: Buffer, start: number, end: number) => void): void {
  const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32LE(at);
    take(bytes, at + 4, end);
    at = end;
  }
}

export function valuesOf(packed: Uint8Array): CrdtValue[] {
  const values: CrdtValue[] = [];
  eachPart(packed, (bytes, start, end) => values.push(readValue(bytes, start, end)));
  return values;
}

export function textsOf(packed: Uint8Array): string[] {
  const texts: string[] = [];
  eachPart(packed, (bytes, start, end) => texts.push(bytes.toString('utf8', start, end)));
  return texts;
}

/** Keys and values by turns. */
export function pairsOf(packed: Uint8Array): [key: string, value: CrdtValue][] {
  const pairs: [string, CrdtValue][] = [];
  let key: string | null = null;
  eachPart(packed, (bytes, start, end) => {
    if (key === null) {
      key = bytes.toString('utf8', start, end);
    } else {
      pairs.push([key, readValue(bytes, start, end)]);
      key = null;
    }
  });
  return pairs;
}
