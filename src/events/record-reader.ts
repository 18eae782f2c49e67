import type { JsonValue } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { isTooDeep } from './json-levels.js';
import { PRESENT, RECORD } from './layout.js';
import { formatUuid } from './uuid.js';

/** One event record read in place (docs/formats.md, "Event record"); every field is decoded when it is asked for. */
export class RecordReader {
  readonly #bytes: Buffer;
  readonly #start: number;

  /** Throws `INTERNAL` when no whole record stands at `start`: the core hands out none such. */
  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes;
    this.#start = start;
    const length = start + RECORD.body <= end ? bytes.readUInt32LE(start + RECORD.length) : 0;
    if (length < RECORD.body || start + length > end || this.#payloadAt() + this.#u32(RECORD.payloadBytes) !== start + length) {
      throw new CoordinatorError('INTERNAL', `The bytes at ${start} are no event record.`);
    }
  }

  get code(): number {
    return this.#bytes.readUInt16LE(this.#start + RECORD.code);
  }
  get priority(): number {
    return this.#bytes[this.#start + RECORD.priority] as number;
  }
  get flags(): number {
    return this.#u32(RECORD.flags);
  }
  get id(): string {
    return formatUuid(this.#bytes, this.#start + RECORD.id);
  }
  get sourceId(): bigint | null {
    return this.#has(PRESENT.sourceId) ? this.#bytes.readBigUInt64LE(this.#start + RECORD.sourceId) : null;
  }
  get path(): string | null {
    return this.#has(PRESENT.path) ? this.#text(this.#start + RECORD.body, this.#pathBytes()) : null;
  }
  get to(): string | null {
    return this.#has(PRESENT.to) ? this.#text(this.#toAt(), this.#toBytes()) : null;
  }
  get metadata(): JsonValue | null {
    return this.#has(PRESENT.metadata) ? this.#json('metadata', this.#metadataAt(), this.#u32(RECORD.metadataBytes)) : null;
  }
  get context(): JsonValue | null {
    return this.#has(PRESENT.context) ? this.#json('context', this.#contextAt(), this.#u32(RECORD.contextBytes)) : null;
  }
  /** The bytes where they stand, not a copy. */
  get payload(): Uint8Array {
    const at = this.#payloadAt();
    return this.#bytes.subarray(at, at + this.#u32(RECORD.payloadBytes));
  }

  #has(bit: number): boolean {
    return ((this.#bytes[this.#start + RECORD.presence] as number) & bit) !== 0;
  }
  #u32(field: number): number {
    return this.#bytes.readUInt32LE(this.#start + field);
  }
  #pathBytes(): number {
    return this.#bytes.readUInt16LE(this.#start + RECORD.pathBytes);
  }
  #toBytes(): number {
    return this.#bytes.readUInt16LE(this.#start + RECORD.toBytes);
  }
  #toAt(): number {
    return this.#start + RECORD.body + this.#pathBytes();
  }
  #metadataAt(): number {
    return this.#toAt() + this.#toBytes();
  }
  #contextAt(): number {
    return this.#metadataAt() + this.#u32(RECORD.metadataBytes);
  }
  #payloadAt(): number {
    return this.#contextAt() + this.#u32(RECORD.contextBytes);
  }
  #text(at: number, length: number): string {
    return this.#bytes.toString('utf8', at, at + length);
  }
  /** The core looks at lengths alone: what stands there, a member that is none of ours may have written. */
  #json(field: 'metadata' | 'context', at: number, length: number): JsonValue {
    const text = this.#text(at, length);
    let value: JsonValue;
    try {
      value = JSON.parse(text) as JsonValue;
    } catch (cause) {
      throw this.#unreadable(field, 'is no JSON', cause);
    }
    if (isTooDeep(value, text.length)) throw this.#unreadable(field, 'has more levels than are read');
    return value;
  }
  #unreadable(field: string, why: string, cause?: unknown): CoordinatorError {
    return new CoordinatorError('INVALID_EVENT', `The ${field} of the event ${this.id} ${why}; its payload and paths can be read.`, { cause, committed: 'yes', details: { field } });
  }
}
