/** Ours, and those of others, each in the form that suits it best. */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { compressFrameSync, compressSync, decompressFrameSync, uncompressSync } from 'lz4-napi';
import snappy from 'snappy';
import { type Codec, compress, decompress } from '../../dist/native/index.js';

/** What packers of one family write the others read, but for LZ4's blocks without a frame. */
export type Family = 'lz4' | 'snappy' | 'zstd1' | 'zstd3' | 'zlib';

export interface Packer {
  readonly name: string;
  readonly family: Family;
  readonly ours: boolean;
  pack(raw: Buffer): Uint8Array;
  unpack(packed: Buffer, bytes: number): Uint8Array;
}

function own(codec: Codec, level?: number): Omit<Packer, 'name' | 'family'> {
  return { ours: true, pack: (raw) => compress(codec, raw, level), unpack: (packed, bytes) => decompress(codec, packed, bytes) };
}

const OWN: readonly Packer[] = [
  { name: 'lz4', family: 'lz4', ...own('lz4') },
  { name: 'snappy', family: 'snappy', ...own('snappy') },
  { name: 'zstd1', family: 'zstd1', ...own('zstd', 1) },
  { name: 'zstd3', family: 'zstd3', ...own('zstd', 3) },
];

const OTHERS: readonly Packer[] = [
  { name: 'lz4Napi.frame', family: 'lz4', ours: false, pack: (raw) => compressFrameSync(raw), unpack: (packed) => decompressFrameSync(packed) },
  { name: 'lz4Napi.block', family: 'lz4', ours: false, pack: (raw) => compressSync(raw), unpack: (packed) => uncompressSync(packed) },
  { name: 'snappyNapi', family: 'snappy', ours: false, pack: (raw) => snappy.compressSync(raw), unpack: (packed) => snappy.uncompressSync(packed) as Buffer },
  { name: 'zlib1', family: 'zlib', ours: false, pack: (raw) => deflateRawSync(raw, { level: 1 }), unpack: (packed) => inflateRawSync(packed) },
  { name: 'zlib6', family: 'zlib', ours: false, pack: (raw) => deflateRawSync(raw), unpack: (packed) => inflateRawSync(packed) },
];

/** Those of zstd-napi, with contexts of their own; none where its native part is not built. */
async function zstdNapi(): Promise<Packer[]> {
  try {
    const { Compressor, Decompressor } = await import('zstd-napi');
    return ([1, 3] as const).map((level) => {
      const [packer, unpacker] = [new Compressor(), new Decompressor()];
      packer.setParameters({ compressionLevel: level });
      return { name: `zstdNapi${level}`, family: `zstd${level}` as const, ours: false, pack: (raw: Buffer) => packer.compress(raw), unpack: (packed: Buffer) => unpacker.decompress(packed) };
    });
  } catch {
    return [];
  }
}

export async function packers(): Promise<readonly Packer[]> {
  return [...OWN, ...OTHERS, ...(await zstdNapi())];
}
