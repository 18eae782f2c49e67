/**
 * Looks through the bytes of a MessagePack value before anything is made of them: that it is whole, that nothing follows it, and that it
 * announces no more than it has, so that what is made of it is bounded by its length. Nothing beyond plain values is let through: the library
 * would make of extensions whatever it knows of them.
 */

/** Deeper than any message of ours. */
const DEPTH_MAX = 32;

export class MsgpackError extends Error {}

/** Bytes that follow the head, values that follow those, and whether every other of them is a key. */
type Shape = readonly [bytes: number, values: number, isMap: boolean];

const FIXED: ReadonlyMap<number, number> = new Map([
  [0xc0, 0],
  [0xc2, 0],
  [0xc3, 0],
  [0xca, 4],
  [0xcb, 8],
  [0xcc, 1],
  [0xcd, 2],
  [0xce, 4],
  [0xcf, 8],
  [0xd0, 1],
  [0xd1, 2],
  [0xd2, 4],
  [0xd3, 8],
]);

/** Bytes of the length that follows, and what it counts. */
const COUNTED: ReadonlyMap<number, readonly [bytes: 1 | 2 | 4, of: 'bytes' | 'values' | 'pairs']> = new Map([
  [0xc4, [1, 'bytes']],
  [0xc5, [2, 'bytes']],
  [0xc6, [4, 'bytes']],
  [0xd9, [1, 'bytes']],
  [0xda, [2, 'bytes']],
  [0xdb, [4, 'bytes']],
  [0xdc, [2, 'values']],
  [0xdd, [4, 'values']],
  [0xde, [2, 'pairs']],
  [0xdf, [4, 'pairs']],
]);

/** Throws MsgpackError. */
export function checkStructure(bytes: Buffer): void {
  /** Of each list or map that is open, the values that are still to come. */
  const open: { left: number; isMap: boolean }[] = [{ left: 1, isMap: false }];
  let owed = 1;
  let at = 0;
  while (open.length > 0) {
    const last = open[open.length - 1]!;
    if (last.left === 0) {
      open.pop();
      continue;
    }
    if (last.isMap && last.left % 2 === 0) checkKey(bytes, at);
    last.left -= 1;
    owed -= 1;
    const [length, values, isMap] = shapeAt(bytes, at);
    at += 1 + length;
    owed += values;
    // Each value has at least one byte.
    if (owed > bytes.length - at) throw new MsgpackError('it announces more than it has');
    if (values === 0) continue;
    if (open.length > DEPTH_MAX) throw new MsgpackError(`it is deeper than ${DEPTH_MAX} levels`);
    open.push({ left: values, isMap });
  }
  if (at !== bytes.length) throw new MsgpackError(`${bytes.length - at} bytes follow its end`);
}

/** The library fails in its own way at keys that are no text, and makes text of numbers. */
function checkKey(bytes: Buffer, at: number): void {
  const head = bytes[at] ?? 0xa0;
  const isText = (head >= 0xa0 && head < 0xc0) || (head >= 0xd9 && head <= 0xdb);
  if (!isText) throw new MsgpackError(`a key of the kind 0x${head.toString(16)}; keys are text`);
}

function shapeAt(bytes: Buffer, at: number): Shape {
  const head = bytes[at];
  if (head === undefined) throw new MsgpackError('it ends early');
  if (head < 0x80 || head >= 0xe0) return [0, 0, false];
  if (head < 0x90) return [0, 2 * (head & 0x0f), true];
  if (head < 0xa0) return [0, head & 0x0f, false];
  if (head < 0xc0) return [head & 0x1f, 0, false];
  const fixed = FIXED.get(head);
  if (fixed !== undefined) return [fixed, 0, false];
  const counted = COUNTED.get(head);
  if (counted === undefined) throw new MsgpackError(`a value of the kind 0x${head.toString(16)}, which no message has`);
  const [size, of] = counted;
  if (at + 1 + size > bytes.length) throw new MsgpackError('it ends early');
  const count = bytes.readUIntBE(at + 1, size);
  if (of === 'bytes') return [size + count, 0, false];
  return [size, of === 'pairs' ? 2 * count : count, of === 'pairs'];
}
