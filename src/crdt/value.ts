/** Values as bytes: equal values are equal bytes, so that replicas agree on what an element is (docs/formats.md, "CRDT values"). */
import type { CrdtValue } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { GrowingBuffer } from '../events/index.js';

const TAG = { bytes: 0, bigint: 1, string: 2, natural: 3, negative: 4, float: 5, null: 6, true: 7, false: 8, array: 9, object: 10 } as const;
const DEPTH_MAX = 64;

const invalid = (what: string) => new CoordinatorError('CRDT_VALUE_INVALID', `${what}; allowed: null, booleans, numbers, bigints, well-formed strings, bytes, and arrays and plain objects of these, at most ${DEPTH_MAX} deep.`);
const damaged = () => new CoordinatorError('CRDT_STATE_INVALID', 'a value of the state cannot be read; it was written by something else than this package.');

/** Writes values one after another into one buffer, which is used again: what `bytes` and `packed` answer holds until the next `clear`. */
export class ValueWriter {
  readonly #buffer = new GrowingBuffer(256);
  #end = 0;

  clear(): this {
    this.#end = 0;
    return this;
  }

  get bytes(): Uint8Array {
    return this.#buffer.bytes.subarray(0, this.#end);
  }

  value(value: CrdtValue): this {
    this.#value(value, 0);
    return this;
  }

  /** Text without a tag: a map's key. */
  key(key: string): this {
    if (typeof key !== 'string') throw invalid('a key that is no string');
    this.#text(key);
    return this;
  }

  /** A length and a value, or a key. */
  packed(write: () => void): this {
    const at = this.#end;
    this.#room(4);
    this.#end += 4;
    write();
    this.#buffer.view.setUint32(at, this.#end - at - 4, true);
    return this;
  }

  #room(bytes: number): void {
    this.#buffer.ensure(this.#end, bytes);
  }

  #byte(byte: number): void {
    this.#room(1);
    this.#buffer.bytes[this.#end++] = byte;
  }

  #varint(value: number): void {
    this.#room(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer.bytes[this.#end++] = (rest % 0x80) + 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer.bytes[this.#end++] = rest;
  }

  #text(text: string): void {
    // Three bytes a unit at most; a pair of units takes four.
    this.#room(text.length * 3);
    if (!text.isWellFormed()) throw invalid('a string with an unpaired surrogate');
    this.#end += this.#buffer.bytes.write(text, this.#end, 'utf8');
  }

  #value(value: CrdtValue, depth: number): void {
    if (depth > DEPTH_MAX) throw invalid('a value nested too deep');
    if (typeof value === 'string') this.#string(TAG.string, value, depth);
    else if (typeof value === 'number') this.#number(value);
    else if (typeof value === 'boolean') this.#byte(value ? TAG.true : TAG.false);
    else if (typeof value === 'bigint') this.#string(TAG.bigint, value.toString(), depth);
    else if (value === null) this.#byte(TAG.null);
    else if (value instanceof Uint8Array) this.#blob(value, depth);
    else if (Array.isArray(value)) this.#items(value as readonly CrdtValue[], depth);
    else if (typeof value === 'object') this.#fields(value as Readonly<Record<string, CrdtValue>>, depth);
    else throw invalid(`a ${typeof value}`);
  }

  /** The outermost value ends where its bytes do: it needs no length. */
  #string(tag: number, text: string, depth: number): void {
    this.#byte(tag);
    if (depth > 0) this.#varint(Buffer.byteLength(text));
    this.#text(text);
  }

  #number(value: number): void {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
      this.#byte(value < 0 ? TAG.negative : TAG.natural);
      this.#varint(Math.abs(value));
    } else {
      this.#byte(TAG.float);
      this.#room(8);
      // Every NaN is one value.
      this.#buffer.view.setFloat64(this.#end, Number.isNaN(value) ? Number.NaN : value);
      this.#end += 8;
    }
  }

  #blob(bytes: Uint8Array, depth: number): void {
    this.#byte(TAG.bytes);
    if (depth > 0) this.#varint(bytes.length);
    this.#room(bytes.length);
    this.#buffer.bytes.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  #items(items: readonly CrdtValue[], depth: number): void {
    this.#byte(TAG.array);
    this.#varint(items.length);
    for (const item of items) this.#value(item, depth + 1);
  }

  #fields(value: Readonly<Record<string, CrdtValue>>, depth: number): void {
    const prototype = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) throw invalid(`an instance of ${prototype?.constructor?.name ?? 'a class'}`);
    const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    this.#byte(TAG.object);
    this.#varint(fields.length);
    for (const [name, field] of fields) {
      this.#varint(Buffer.byteLength(name));
      this.#text(name);
      this.#value(field, depth + 1);
    }
  }
}

/** Reads one value from `start` to `end`. */
export function readValue(bytes: Buffer, start: number, end: number): CrdtValue {
  const reader = new ValueReader(bytes, start, end);
  const value = reader.value(0);
  if (!reader.done) throw damaged();
  return value;
}

class ValueReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;

  constructor(bytes: Buffer, start: number, end: number) {
    [this.#bytes, this.#at, this.#end] = [bytes, start, end];
  }

  get done(): boolean {
    return this.#at === this.#end;
  }

  value(depth: number): CrdtValue {
    if (depth > DEPTH_MAX) throw damaged();
    switch (this.#byte()) {
      case TAG.bytes: {
        const [start, end] = this.#stretch(depth);
        return new Uint8Array(this.#bytes.subarray(start, end));
      }
      case TAG.bigint:
        return this.#bigint(depth);
      case TAG.string:
        return this.#text(depth);
      case TAG.natural:
        return this.#varint();
      case TAG.negative:
        return -this.#varint();
      case TAG.float:
        return this.#bytes.readDoubleBE(this.#skip(8));
      case TAG.null:
        return null;
      case TAG.true:
        return true;
      case TAG.false:
        return false;
      case TAG.array:
        return this.#items(() => this.value(depth + 1));
      case TAG.object:
        return Object.fromEntries(this.#items(() => [this.#text(1), this.value(depth + 1)] as const));
      default:
        throw damaged();
    }
  }

  /** The outermost value ends where its bytes do: it needs no length. */
  #stretch(depth: number): [start: number, end: number] {
    const length = depth === 0 ? this.#end - this.#at : this.#varint();
    const start = this.#skip(length);
    return [start, start + length];
  }

  #text(depth: number): string {
    const [start, end] = this.#stretch(depth);
    return this.#bytes.toString('utf8', start, end);
  }

  #bigint(depth: number): bigint {
    const text = this.#text(depth);
    if (!/^(0|-?[1-9]\d*)$/.test(text)) throw damaged();
    return BigInt(text);
  }

  #items<T>(read: () => T): T[] {
    const count = this.#varint();
    // Each takes a byte at least.
    if (count > this.#end - this.#at) throw damaged();
    return Array.from({ length: count }, read);
  }

  #byte(): number {
    return this.#bytes[this.#skip(1)] as number;
  }

  #skip(bytes: number): number {
    const at = this.#at;
    if (bytes > this.#end - at) throw damaged();
    this.#at = at + bytes;
    return at;
  }

  #varint(): number {
    let [value, scale] = [0, 1];
    for (;;) {
      const byte = this.#byte();
      value += (byte % 0x80) * scale;
      if (value > Number.MAX_SAFE_INTEGER) throw damaged();
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  }
}
