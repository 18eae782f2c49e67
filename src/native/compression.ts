/**
 * Packing and unpacking bytes in the core. Short ones are packed where they are asked for; what takes longer than an event
 * loop may stand still belongs to the forms that work apart, on libuv's pool. Nothing here adds a checksum.
 */
import { addon } from './addon.js';
import { calling, fromNative } from './errors.js';

/** By the numbers of docs/formats.md. `lz4`: its frame format; `zstd`: a frame; `snappy`: its block format. */
const NUMBERS = { lz4: 1, zstd: 2, snappy: 3 } as const;
export type Codec = keyof typeof NUMBERS;
/** In bytes, and where the core is asked; 0 of what is none. */
export const numberOf = (codec: Codec): number => NUMBERS[codec] ?? 0;
export const CODECS = Object.keys(NUMBERS) as readonly Codec[];

/** What one thread keeps for packing: 1 MiB packs into it with every codec. */
const SCRATCH_BYTES = 64 * 1024;
const SCRATCH_BYTES_MAX = 1_280 * 1024;
/** Node cuts shorter buffers out of a larger one, for next to nothing. */
const SMALL_BYTES = Buffer.poolSize >>> 1;

let scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
const small = Buffer.allocUnsafeSlow(SMALL_BYTES);

/** Packs bytes. `level`: Zstd's, 1 to 19; the others have none. Throws `COMPRESSION_TOO_LARGE` beyond 1 GiB. */
export function compress(codec: Codec, raw: Uint8Array, level = 3): Buffer {
  return calling(() => {
    const number = numberOf(codec);
    let length = addon().compressInto(number, level, raw, scratch);
    if (length < 0) {
      if (-length > SCRATCH_BYTES_MAX) return addon().compress(number, level, raw);
      scratch = Buffer.allocUnsafeSlow(Math.max(-length, Math.min(2 * scratch.length, SCRATCH_BYTES_MAX)));
      length = addon().compressInto(number, level, raw, scratch);
    }
    const packed = Buffer.allocUnsafe(length);
    scratch.copy(packed, 0, 0, length);
    return packed;
  });
}

/**
 * Unpacks at most `bytesMax` bytes; no more memory is ever taken, whatever the bytes say. Throws `COMPRESSION_TOO_LARGE`
 * where more would come out, and `COMPRESSION_DAMAGED`.
 */
export function decompress(codec: Codec, packed: Uint8Array, bytesMax: number): Buffer {
  return calling(() => {
    const number = numberOf(codec);
    const length = addon().decompressInto(number, packed, bytesMax, small);
    if (length === -1) return addon().decompress(number, packed, bytesMax);
    if (length < 0) {
      const raw = Buffer.allocUnsafe(-1 - length);
      addon().decompressInto(number, packed, bytesMax, raw);
      return raw;
    }
    const raw = Buffer.allocUnsafe(length);
    small.copy(raw, 0, 0, length);
    return raw;
  });
}

/** As `compress`, apart from this thread. `raw` must not change until then. */
export async function compressApart(codec: Codec, raw: Uint8Array, level = 3): Promise<Buffer> {
  try {
    return await addon().compressApart(numberOf(codec), level, raw);
  } catch (thrown) {
    throw fromNative(thrown);
  }
}

/** As `decompress`, apart from this thread. `packed` must not change until then. */
export async function decompressApart(codec: Codec, packed: Uint8Array, bytesMax: number): Promise<Buffer> {
  try {
    return await addon().decompressApart(numberOf(codec), packed, bytesMax);
  } catch (thrown) {
    throw fromNative(thrown);
  }
}
