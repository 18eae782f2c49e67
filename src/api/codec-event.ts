import type { EventInput, JsonValue } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import type { WireEvent } from './wire.js';

/** EventInput to proto. Throws `INVALID_EVENT` for what proto cannot carry; the node judges everything else. */
export function encodeEvent(event: EventInput): WireEvent {
  return {
    ...(event.id === undefined ? {} : { id: event.id }),
    ...(typeof event.type === 'number' ? { code: u32(event.type, 'type') } : { name: event.type }),
    ...(event.path === undefined ? {} : { path: wellFormed(event.path, 'path') }),
    ...(event.to === undefined ? {} : { to: wellFormed(event.to, 'to') }),
    ...(event.payload === undefined ? {} : { payload: event.payload }),
    ...(event.metadata === undefined ? {} : { metadataJson: jsonText(event.metadata, 'metadata') }),
    ...(event.priority === undefined ? {} : { priority: u32(event.priority, 'priority') }),
    ...(event.flags === undefined ? {} : { flags: u32(event.flags, 'flags') }),
    ...(event.sourceId === undefined ? {} : { sourceId: u64(event.sourceId, 'sourceId') }),
    ...(event.context === undefined ? {} : { contextJson: jsonText(event.context, 'context') }),
  };
}

/** Proto to EventInput. Throws `INVALID_EVENT` where the message says nothing the node could judge. */
export function decodeEvent(wire: WireEvent | null | undefined): EventInput {
  if (wire === null || wire === undefined) throw new CoordinatorError('INVALID_EVENT', 'the request has no event');
  const type = wire.name ?? wire.code;
  if (type === undefined || type === '') throw new CoordinatorError('INVALID_EVENT', 'the event has neither a type name nor a type code');
  return {
    ...(wire.id ? { id: wire.id } : {}),
    type,
    ...(wire.path === undefined ? {} : { path: wire.path }),
    ...(wire.to === undefined ? {} : { to: wire.to }),
    ...(wire.payload === undefined ? {} : { payload: wire.payload }),
    ...(wire.metadataJson === undefined ? {} : { metadata: parseJson(wire.metadataJson, 'metadata_json') }),
    ...(wire.priority === undefined ? {} : { priority: wire.priority }),
    ...(wire.flags === undefined ? {} : { flags: wire.flags }),
    ...(wire.sourceId === undefined ? {} : { sourceId: BigInt(wire.sourceId) }),
    ...(wire.contextJson === undefined ? {} : { context: parseObject(wire.contextJson, 'context_json') }),
  };
}

/** Roughly the bytes an event packs to: what stream budgets count. */
export function eventBytes(event: EventInput): number {
  const text = (value: string | undefined): number => (value === undefined ? 0 : value.length * 2);
  return 64 + text(event.path) + text(event.to) + (event.payload?.byteLength ?? 0) + jsonCharacters(event.metadata) + jsonCharacters(event.context);
}

function jsonCharacters(value: JsonValue | undefined): number {
  try {
    return value === undefined ? 0 : JSON.stringify(value).length;
  } catch {
    // It has more levels than there is stack for: packing refuses the event, and it alone.
    return 0;
  }
}

export function parseJson(text: string, field: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch (error) {
    throw new CoordinatorError('INVALID_EVENT', `${field} is not JSON: ${(error as Error).message}`, { details: { field } });
  }
}

function parseObject(text: string, field: string): { readonly [key: string]: JsonValue } {
  const value = parseJson(text, field);
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new CoordinatorError('INVALID_EVENT', `${field} must be a JSON object`, { details: { field } });
  }
  return value as { readonly [key: string]: JsonValue };
}

function jsonText(value: JsonValue, field: string): string {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    throw new CoordinatorError('INVALID_EVENT', `${field} cannot be written as JSON: ${(cause as Error).message}`, { cause, details: { field } });
  }
}

function u32(value: number, field: string): number {
  if (Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff) return value;
  throw new CoordinatorError('INVALID_EVENT', `${field} must be an integer from 0 to 4294967295, not ${value}`, { details: { field } });
}

function u64(value: bigint, field: string): string {
  if (value >= 0n && value <= 0xffff_ffff_ffff_ffffn) return value.toString();
  throw new CoordinatorError('INVALID_EVENT', `${field} must be an integer from 0 to 2^64 - 1, not ${value}`, { details: { field } });
}

/** An unpaired surrogate would silently become another character in UTF-8. */
function wellFormed(path: string, field: string): string {
  if (!/\p{Surrogate}/u.test(path)) return path;
  throw new CoordinatorError('PATH_INVALID', `${field} has an unpaired surrogate`, { details: { field } });
}
