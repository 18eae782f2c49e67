import assert from 'node:assert/strict';
import { CausalPlace, CursorCodec } from '../../../dist/events/index.js';
import { refusable, text } from '../check.js';
import type { Target } from '../target.js';

const codec = new CursorCodec('c');
const place = (rows: readonly (readonly [bigint, number, bigint])[]): CausalPlace => CausalPlace.first.after(rows.map(([member, incarnation, counter]) => [{ member, incarnation }, counter] as const));
const PLACES = [CausalPlace.first, place([[7n, 1, 40n], [2n ** 64n - 1n, 0, 1n]]), place([[3n, 0, 9n]]).within({ name: 'b', member: 3n, incarnation: 0 }, 12n, 2)];

/** Bytes 0: text as it comes. 1: a good checksum around a place of chance. 2: a place of chance alone. */
export const cursors: Target = {
  name: 'cursors',
  reads: 'cursors that clients give back, and the places in them',
  bytesMax: 512,
  words: ['AQ', 'AQE', 'AQAAAA', '\x01\x00\x00\x00', '\x01\x00\x01\x00', '\xff\xff\xff\xff\xff\xff\xff\xff', '='],
  seeds: () => [
    Buffer.from(`\0${codec.encode({ group: 1, index: 5n, offset: 9 })}`),
    ...PLACES.map((one) => Buffer.from(`\0${codec.encodeCausal(one.encode())}`)),
    ...PLACES.map((one) => Buffer.concat([Buffer.of(1), one.encode()])),
    ...PLACES.map((one) => Buffer.concat([Buffer.of(2), one.encode()])),
  ],
  run(bytes) {
    const [kind = 0, rest] = [bytes[0], bytes.subarray(1)];
    const said = kind % 3 === 0 ? text(rest) : codec.encodeCausal(rest);
    if (kind % 3 === 2) return judge(rest);
    const ordered = refusable(() => codec.decode(said), ['CURSOR_INVALID']);
    const causal = refusable(() => codec.decodeCausal(said), ['CURSOR_INVALID']);
    assert.ok(ordered === null || causal === null, 'a cursor is of one lane');
    if (ordered !== null) assert.equal(codec.encode(ordered), said, 'a place has one cursor');
    if (causal !== null) {
      assert.deepEqual(codec.decodeCausal(codec.encodeCausal(causal)), causal);
      judge(causal);
    }
    assert.equal(refusable(() => new CursorCodec('d').decode(said), ['CURSOR_INVALID']), null, 'of another cluster');
  },
};

function judge(bytes: Uint8Array): void {
  const read = refusable(() => CausalPlace.read(bytes), ['CURSOR_INVALID']);
  if (read === null) return;
  assert.deepEqual(Buffer.from(read.encode()), Buffer.from(bytes), 'a place is said in one way');
  assert.ok(read.covers(read) && read.covers(CausalPlace.first) && read.with(PLACES[1]!).covers(read));
  assert.deepEqual(read.with(read).encode(), read.encode());
  refusable(() => read.follows(), ['USAGE']);
}
