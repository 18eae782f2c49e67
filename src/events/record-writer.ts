import { type EventInput, type JsonValue, LIMITS } from '../contracts/index.js';
import { CoordinatorError, type ErrorCode } from '../errors/index.js';
import { type Catalogue, unknownType } from './catalogue.js';
import type { GrowingBuffer } from './growing-buffer.js';
import { isTooDeep } from './json-levels.js';
import { PRESENT, RECORD } from './layout.js';
import { isOwn, isReserved } from './own-events.js';
import { type EventIds, writeUuid } from './uuid.js';

const U32_MAX = 0xffff_ffff;
const U64_MAX = 0xffff_ffff_ffff_ffffn;
const SLASH = 47;

/** Where an event stands, for the words of its errors. */
export interface EventPlace {
  /** From 0. */
  readonly event: number;
  /** Events in the batch. */
  readonly of: number;
}

const prefixOf = (place: EventPlace): string => (place.of > 1 ? `event ${place.event}: ` : '');

function refuse(code: ErrorCode, place: EventPlace, field: string, rest: string, more: Record<string, unknown> = {}): CoordinatorError {
  return new CoordinatorError(code, `${prefixOf(place)}${field} ${rest}.`, { details: { event: place.event, field, ...more } });
}

const shown = (value: unknown): string => {
  const text = typeof value === 'bigint' ? String(value) : typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};

function jsonBytes(value: JsonValue, field: 'metadata' | 'context', bytesMax: number, place: EventPlace): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw refuse('INVALID_EVENT', place, field, `cannot be written as JSON: ${(cause as Error).message}`);
  }
  if (text === undefined) throw refuse('INVALID_EVENT', place, field, `is ${typeof value}; a JSON value is allowed`);
  // A UTF-16 unit is at least one byte: most are settled without counting.
  if (text.length > bytesMax || (text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax)) {
    throw refuse('METADATA_TOO_LARGE', place, field, `is ${Buffer.byteLength(text)} bytes as JSON; at most ${bytesMax} are allowed`, { limit: bytesMax });
  }
  if (isTooDeep(value, text.length)) throw refuse('INVALID_EVENT', place, field, `has more than ${LIMITS.jsonLevelsMax} levels`, { limit: LIMITS.jsonLevelsMax });
  return text;
}

/** Writes event records (docs/formats.md, "Event record"), each checked completely before it counts. */
export class RecordWriter {
  readonly #catalogue: Catalogue;
  readonly #ids: EventIds;
  readonly #out: GrowingBuffer;

  constructor(catalogue: Catalogue, ids: EventIds, out: GrowingBuffer) {
    this.#catalogue = catalogue;
    this.#ids = ids;
    this.#out = out;
  }

  /**
   * Writes one event at `start` and returns where the next one begins.
   * When it throws, bytes from `start` on are of no meaning and those before are untouched.
   */
  write(event: EventInput, start: number, place: EventPlace): number {
    const out = this.#out;
    // Types end at the boundary: JavaScript may hand in anything.
    if (typeof event !== 'object' || event === null) throw refuse('INVALID_EVENT', place, 'the event', `is ${shown(event)}; an object is allowed`);
    const { type, payload, priority = 3, flags = 0, sourceId } = event;

    const code = this.#catalogue.codeOf(type);
    if (code < 0) throw unknownType(type, this.#catalogue, prefixOf(place), { event: place.event });
    if (isReserved(code) && !isOwn(event)) {
      throw refuse('EVENT_TYPE_RESERVED', place, 'type', `is ${this.#catalogue.nameOf(code)}, which the coordinator itself writes; any other type is allowed`, { type });
    }
    if (!(Number.isInteger(priority) && priority >= 1 && priority <= 5)) {
      throw refuse('INVALID_EVENT', place, 'priority', `is ${shown(priority)}; a whole number from 1 to 5 is allowed`);
    }
    if (!(Number.isInteger(flags) && flags >= 0 && flags <= U32_MAX)) {
      throw refuse('INVALID_EVENT', place, 'flags', `is ${shown(flags)}; a whole number from 0 to ${U32_MAX} is allowed`);
    }
    if (sourceId !== undefined && !(typeof sourceId === 'bigint' && sourceId >= 0n && sourceId <= U64_MAX)) {
      throw refuse('INVALID_EVENT', place, 'sourceId', `is ${shown(sourceId)}; a bigint from 0 to ${U64_MAX} is allowed`);
    }
    let payloadBytes = 0;
    if (payload !== undefined) {
      if (!(payload instanceof Uint8Array)) throw refuse('INVALID_EVENT', place, 'payload', `is of type ${typeof payload}; a Uint8Array is allowed`);
      payloadBytes = payload.length;
      if (payloadBytes > LIMITS.payloadBytesMax) {
        throw refuse('PAYLOAD_TOO_LARGE', place, 'payload', `is ${payloadBytes} bytes; at most ${LIMITS.payloadBytesMax} are allowed`, {
          limit: LIMITS.payloadBytesMax,
        });
      }
    }
    const metadata = event.metadata === undefined ? undefined : jsonBytes(event.metadata, 'metadata', LIMITS.metadataBytesMax, place);
    const context = event.context === undefined ? undefined : this.#context(event.context, place);

    // Room for all that can follow is made once, so that nothing below moves the buffer.
    const textBytesMax = 2 * LIMITS.pathBytesMax + ((metadata?.length ?? 0) + (context?.length ?? 0)) * 3;
    out.ensure(start, RECORD.body + textBytesMax + payloadBytes);
    const { bytes, view } = out;

    if (event.id === undefined) this.#ids.write(bytes, start + RECORD.id);
    else if (typeof event.id !== 'string' || !writeUuid(event.id, bytes, start + RECORD.id)) {
      throw refuse('INVALID_EVENT_ID', place, 'id', `is ${shown(event.id)}; a UUID that is not all zero is allowed`);
    }

    let presence = 0;
    let at = start + RECORD.body;
    let pathBytes = 0;
    let toBytes = 0;
    if (event.path !== undefined) {
      presence |= PRESENT.path;
      pathBytes = this.#path(event.path, 'path', at, place);
      at += pathBytes;
    }
    if (event.to !== undefined) {
      presence |= PRESENT.to;
      toBytes = this.#path(event.to, 'to', at, place);
      at += toBytes;
    }
    let metadataBytes = 0;
    if (metadata !== undefined) {
      presence |= PRESENT.metadata;
      metadataBytes = bytes.write(metadata, at);
      at += metadataBytes;
    }
    let contextBytes = 0;
    if (context !== undefined) {
      presence |= PRESENT.context;
      contextBytes = bytes.write(context, at);
      at += contextBytes;
    }
    if (payload !== undefined) {
      bytes.set(payload, at);
      at += payloadBytes;
    }

    if (sourceId === undefined) {
      view.setUint32(start + RECORD.sourceId, 0, true);
      view.setUint32(start + RECORD.sourceId + 4, 0, true);
    } else {
      presence |= PRESENT.sourceId;
      view.setBigUint64(start + RECORD.sourceId, sourceId, true);
    }
    view.setUint32(start + RECORD.length, at - start, true);
    view.setUint16(start + RECORD.code, code, true);
    bytes[start + RECORD.priority] = priority;
    bytes[start + RECORD.presence] = presence;
    view.setUint32(start + RECORD.flags, flags, true);
    view.setUint32(start + RECORD.metadataBytes, metadataBytes, true);
    view.setUint32(start + RECORD.payloadBytes, payloadBytes, true);
    view.setUint16(start + RECORD.pathBytes, pathBytes, true);
    view.setUint16(start + RECORD.toBytes, toBytes, true);
    view.setUint32(start + RECORD.contextBytes, contextBytes, true);
    view.setUint32(start + RECORD.reserved, 0, true);
    return at;
  }

  #context(context: unknown, place: EventPlace): string {
    if (typeof context !== 'object' || context === null || Array.isArray(context)) {
      throw refuse('INVALID_EVENT', place, 'context', 'is no object; a JSON object is allowed');
    }
    return jsonBytes(context as JsonValue, 'context', LIMITS.contextBytesMax, place);
  }

  /** Writes a path and returns its length in bytes; ASCII, which nearly all paths are, without leaving JavaScript. */
  #path(path: string, field: 'path' | 'to', at: number, place: EventPlace): number {
    if (typeof path !== 'string') throw refuse('PATH_INVALID', place, field, `is of type ${typeof path}; a string is allowed`);
    if (path.charCodeAt(0) !== SLASH) throw refuse('PATH_INVALID', place, field, `is ${shown(path)}; an absolute path, beginning with /, is allowed`);
    const tooLong = () =>
      refuse('PATH_INVALID', place, field, `is ${Buffer.byteLength(path)} bytes; at most ${LIMITS.pathBytesMax} are allowed`, { limit: LIMITS.pathBytesMax });
    if (path.length > LIMITS.pathBytesMax) throw tooLong();
    const { bytes } = this.#out;
    let place16 = 0;
    for (; place16 < path.length; place16++) {
      const unit = path.charCodeAt(place16);
      if (unit === 0) throw refuse('PATH_INVALID', place, field, 'has a NUL character; none is allowed');
      if (unit > 127) break;
      bytes[at + place16] = unit;
    }
    if (place16 === path.length) return place16;
    if (path.includes('\0')) throw refuse('PATH_INVALID', place, field, 'has a NUL character; none is allowed');
    if (!path.isWellFormed()) throw refuse('PATH_INVALID', place, field, 'has an unpaired surrogate; well-formed Unicode is allowed');
    const length = Buffer.byteLength(path);
    if (length > LIMITS.pathBytesMax) throw tooLong();
    return bytes.write(path, at);
  }
}
