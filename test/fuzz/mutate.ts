import type { Random } from './random.js';

const NUMBERS = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff];

/** One to five changes; `words` and other inputs are what may be put in. */
export function mutate(input: Uint8Array, random: Random, words: readonly Uint8Array[], corpus: readonly Uint8Array[], bytesMax: number): Uint8Array {
  let bytes = Buffer.from(input);
  for (let left = 1 + random.below(5); left > 0; left--) bytes = change(bytes, random, words, corpus);
  return bytes.subarray(0, bytesMax);
}

function change(bytes: Buffer<ArrayBuffer>, random: Random, words: readonly Uint8Array[], corpus: readonly Uint8Array[]): Buffer<ArrayBuffer> {
  const at = random.below(bytes.length + 1);
  const end = Math.min(bytes.length, at + 1 + random.below(random.below(4) === 0 ? 64 : 6));
  const put = (...parts: Uint8Array[]): Buffer<ArrayBuffer> => Buffer.concat([bytes.subarray(0, at), ...parts]);
  switch (random.below(10)) {
    case 0:
      return put(bytes.subarray(end));
    case 1:
      return put(Uint8Array.of(random.below(256)), bytes.subarray(at));
    case 2:
    case 3:
      return put(random.one(words) ?? new Uint8Array(), bytes.subarray(random.below(2) === 0 ? at : end));
    case 4: {
      // A part again, now and then very often: what nests deeply.
      const part = bytes.subarray(at, end);
      const times = random.below(16) === 0 ? 2_000 : 1 + random.below(3);
      return put(...Array.from({ length: times }, () => part), bytes.subarray(at));
    }
    case 5: {
      const other = random.one(corpus) ?? bytes;
      const from = random.below(other.length + 1);
      return put(other.subarray(from, from + 1 + random.below(other.length)), bytes.subarray(random.below(2) === 0 ? at : end));
    }
    case 6: {
      if (at + 4 <= bytes.length) bytes.writeUInt32LE(random.one(NUMBERS), at);
      return bytes;
    }
    case 7:
      // Digits become other digits.
      return put(Buffer.from(String(random.below(2) === 0 ? random.below(1_000) : random.one(NUMBERS))), bytes.subarray(end));
    default: {
      if (at < bytes.length) bytes[at] = random.below(2) === 0 ? bytes[at]! ^ (1 << random.below(8)) : random.below(256);
      return bytes;
    }
  }
}
