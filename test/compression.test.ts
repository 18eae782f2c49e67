/** Packing beside lz4-napi, zstd-napi and snappy: what one writes the others read. And what is damaged, or too large. */
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { compressFrame, compressFrameSync, decompressFrameSync } from 'lz4-napi';
import snappy from 'snappy';
import { type Codec, CODECS, compress, compressApart, decompress, decompressApart } from '../dist/native/index.js';
import { CoordinatorError, type ErrorCode } from '../dist/errors/index.js';

const MIB = 1024 * 1024;
const NOISE = Buffer.from(Array.from({ length: 100_000 }, (_, at) => (at * 2_654_435_761) >>> 11));
const TEXT = Buffer.from(Array.from({ length: 60_000 }, (_, at) => `${at} the quick brown fox ${(at * 2_654_435_761) >>> 7}\n`).join(''));

/** Sizes on both sides of where blocks, tables and buffers change. */
const CONTENTS: readonly Buffer[] = [0, 1, 13, 255, 4_095, 4_096, 4_097, 65_535, 65_536, 70_000, 262_145, MIB + 1].flatMap((length) => [TEXT.subarray(0, length), Buffer.alloc(length), NOISE.subarray(0, length)]);

/** Pieces that repeat and pieces that do not. */
const contents = fc
  .array(fc.tuple(fc.uint8Array({ maxLength: 300 }), fc.nat({ max: 200 })), { maxLength: 8 })
  .map((pieces) => Buffer.concat(pieces.flatMap(([piece, times]) => Array.from({ length: times }, () => piece))));

function refused(t: ExecutionContext, run: () => unknown, code: ErrorCode): void {
  const error = t.throws(run, { instanceOf: CoordinatorError });
  t.is(error?.code, code);
}

async function zstdNapi(t: ExecutionContext): Promise<typeof import('zstd-napi') | null> {
  try {
    return await import('zstd-napi');
  } catch (error) {
    t.log(`skipped: the native part of zstd-napi is not built here (${error instanceof Error ? error.message.split('\n')[0] : error}); "npm rebuild zstd-napi" builds it`);
    t.pass();
    return null;
  }
}

for (const codec of CODECS) {
  test(`${codec}: what was packed comes out, here and apart`, async (t) => {
    for (const content of CONTENTS) {
      const packed = compress(codec, content);
      t.is(Buffer.compare(decompress(codec, packed, content.length), content), 0);
      const apart = await compressApart(codec, content);
      t.is(Buffer.compare(apart, packed), 0);
      t.is(Buffer.compare(await decompressApart(codec, apart, content.length), content), 0);
    }
  });

  test(`${codec}: what came out before stays as it is`, (t) => {
    const packed = [TEXT.subarray(0, 1000), NOISE.subarray(0, 1000)].map((content) => compress(codec, content));
    const [first, second] = packed.map((one) => decompress(codec, one, 1000));
    t.is(Buffer.compare(first!, TEXT.subarray(0, 1000)), 0);
    t.is(Buffer.compare(second!, NOISE.subarray(0, 1000)), 0);
  });

  test(`${codec}: more than is allowed is refused, and nothing else`, async (t) => {
    for (const content of CONTENTS.filter(({ length }) => length > 0)) {
      const packed = compress(codec, content);
      refused(t, () => decompress(codec, packed, content.length - 1), 'COMPRESSION_TOO_LARGE');
      const error = await t.throwsAsync(decompressApart(codec, packed, content.length - 1), { instanceOf: CoordinatorError });
      t.is(error?.code, 'COMPRESSION_TOO_LARGE');
    }
  });

  test(`${codec}: flipped bits and cut bytes are refused, or stay within the bound`, (t) => {
    const property = fc.property(contents, fc.nat(), fc.nat(), (content, flipped, cut) => {
      const packed = compress(codec, content);
      const damaged = Buffer.from(packed);
      damaged[flipped % packed.length]! ^= 1 << flipped % 8;
      for (const bytes of [damaged, packed.subarray(0, cut % packed.length)]) {
        try {
          if (decompress(codec, bytes, content.length).length > content.length) return false;
        } catch (error) {
          if (!(error instanceof CoordinatorError) || !error.code.startsWith('COMPRESSION_')) throw error;
        }
      }
      return Buffer.compare(decompress(codec, packed, content.length), content) === 0;
    });
    t.notThrows(() => fc.assert(property, { numRuns: 300 }));
  });

  test(`${codec}: bytes of another compression are damaged ones`, async (t) => {
    for (const other of CODECS.filter((one) => one !== codec)) {
      const packed = compress(other, TEXT.subarray(0, 5_000));
      const error = t.throws(() => decompress(codec, packed, 5_000), { instanceOf: CoordinatorError });
      t.true(error?.code === 'COMPRESSION_DAMAGED' || error?.code === 'COMPRESSION_TOO_LARGE', error?.code);
    }
    refused(t, () => decompress(codec, new Uint8Array(), 100), 'COMPRESSION_DAMAGED');
  });
}

test('there is no other compression', async (t) => {
  refused(t, () => compress('gzip' as Codec, TEXT), 'COMPRESSION_UNKNOWN');
  refused(t, () => decompress('gzip' as Codec, TEXT, 1), 'COMPRESSION_UNKNOWN');
  const error = await t.throwsAsync(compressApart('gzip' as Codec, TEXT), { instanceOf: CoordinatorError });
  t.is(error?.code, 'COMPRESSION_UNKNOWN');
});

test('LZ4 frames are those of lz4-napi, both ways', async (t) => {
  for (const content of CONTENTS) {
    t.is(Buffer.compare(decompressFrameSync(compress('lz4', content)), content), 0);
    for (const options of [{}, { contentChecksum: true }, { blockChecksums: true }, { contentChecksum: true, blockChecksums: true }]) {
      t.is(Buffer.compare(decompress('lz4', compressFrameSync(content, options), content.length), content), 0);
    }
    // It does not tell how much comes out.
    const packed = await compressFrame(content);
    t.is(Buffer.compare(await decompressApart('lz4', packed, content.length), content), 0);
    if (content.length > 0) refused(t, () => decompress('lz4', packed, content.length - 1), 'COMPRESSION_TOO_LARGE');
  }
});

test('Snappy is that of snappy, both ways', (t) => {
  for (const content of CONTENTS) {
    t.is(Buffer.compare(snappy.uncompressSync(compress('snappy', content)) as Buffer, content), 0);
    t.is(Buffer.compare(decompress('snappy', snappy.compressSync(content), content.length), content), 0);
  }
});

test('Zstd frames are those of zstd-napi, both ways', async (t) => {
  const peer = await zstdNapi(t);
  if (peer === null) return;
  for (const content of CONTENTS) {
    for (const level of [1, 3, 19]) {
      t.is(Buffer.compare(peer.decompress(compress('zstd', content, level)), content), 0);
      t.is(Buffer.compare(decompress('zstd', peer.compress(content, { compressionLevel: level, checksumFlag: level === 3 }), content.length), content), 0);
    }
    // A stream does not tell how much comes out.
    const stream = new peer.CompressStream();
    const parts: Buffer[] = [];
    stream.on('data', (part: Buffer) => parts.push(part));
    for (let at = 0; at < content.length; at += 50_000) stream.write(content.subarray(at, at + 50_000));
    await promisify(stream.end.bind(stream) as (done: () => void) => void)();
    const packed = Buffer.concat(parts);
    t.is(Buffer.compare(decompress('zstd', packed, content.length), content), 0);
    if (content.length > 0) refused(t, () => decompress('zstd', packed, content.length - 1), 'COMPRESSION_TOO_LARGE');
  }
});

test('what others have written is read without them', (t) => {
  const lines = readFileSync('test/golden/compression.txt', 'utf8').trim().split('\n');
  t.is(lines.length, 5);
  for (const line of lines) {
    const [codec, , hex = ''] = line.split(' ');
    t.is(decompress(codec as Codec, Buffer.from(hex, 'hex'), 2_000).toString(), TEXT.toString('latin1', 0, 2_000));
  }
});

test('the event loop turns while much is packed apart', async (t) => {
  const content = Buffer.concat(Array.from({ length: 16 }, () => TEXT));
  let turns = 0;
  let done = false;
  const turn = (): void => {
    turns += 1;
    if (!done) setImmediate(turn);
  };
  setImmediate(turn);
  const packed = await compressApart('zstd', content, 9);
  const raw = await decompressApart('zstd', packed, content.length);
  done = true;
  t.is(Buffer.compare(raw, content), 0);
  t.true(turns > 10, `${turns} turns`);
});
