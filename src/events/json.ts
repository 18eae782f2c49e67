import type { Delivery, EventInput, JsonValue, Outcome, Receipt, Status } from '../contracts/index.js';
import { CoordinatorError, nearest } from '../errors/index.js';

/**
 * The JSON form of what this package hands out: bigint as decimal strings, bytes as base64, `undefined` left out.
 * Objects with a `toJSON` of their own, such as deliveries, are asked for it.
 */
export function jsonOf(value: unknown): JsonValue {
  switch (typeof value) {
    case 'bigint':
      return value.toString();
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) ? value : null;
    case 'object':
      break;
    default:
      return null;
  }
  if (value === null) return null;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  if (Array.isArray(value)) return value.map(jsonOf);
  if ('toJSON' in value && typeof value.toJSON === 'function') return value.toJSON() as JsonValue;
  // Not by assignment: a key may be `__proto__`, which would change the object instead of being in it.
  return Object.fromEntries(Object.entries(value).flatMap(([key, inner]) => (inner === undefined || typeof inner === 'function' ? [] : [[key, jsonOf(inner)]])));
}

export const receiptToJson = (receipt: Receipt): JsonValue => jsonOf(receipt);
export const deliveryToJson = (delivery: Delivery): JsonValue => jsonOf(delivery);
export const statusToJson = (status: Status): JsonValue => jsonOf(status);
export const outcomeToJson = (outcome: Outcome): JsonValue => jsonOf(outcome);

const FIELDS: readonly (keyof EventInput)[] = ['id', 'type', 'path', 'to', 'payload', 'metadata', 'priority', 'flags', 'sourceId', 'context'];
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;
const DECIMAL = /^\d{1,20}$/;

function refuse(field: string, rest: string): CoordinatorError {
  return new CoordinatorError('INVALID_EVENT', `${field} ${rest}.`, { details: { field } });
}

function textField(field: string, value: unknown): string {
  if (typeof value !== 'string') throw refuse(field, `is ${JSON.stringify(value)}; a string is allowed`);
  return value;
}

function payloadField(value: unknown): Uint8Array {
  const text = textField('payload', value);
  if (!BASE64.test(text)) throw refuse('payload', 'is no base64; bytes travel as base64 in JSON');
  return Buffer.from(text, 'base64');
}

function sourceIdField(value: unknown): bigint {
  if (typeof value === 'string' && DECIMAL.test(value)) return BigInt(value);
  // A number is exact only so far; beyond, the text has already lost digits.
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  throw refuse('sourceId', `is ${JSON.stringify(value)}; a decimal string is allowed`);
}

/**
 * An event from its JSON form, as on the command line: payload in base64, `sourceId` as a decimal string.
 * Values are checked for their JSON type here and for their range when the event is packed.
 * @throws CoordinatorError `INVALID_EVENT`, also for a field that events do not have.
 */
export function eventFromJson(json: unknown): EventInput {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw refuse('The event', 'is no JSON object');
  const given = json as Record<string, unknown>;
  for (const key of Object.keys(given)) {
    if ((FIELDS as readonly string[]).includes(key)) continue;
    const close = nearest(key, FIELDS);
    throw refuse(key, `is no field of an event${close === null ? `; allowed: ${FIELDS.join(', ')}` : `; ${close} is one`}`);
  }
  const { type } = given;
  if (typeof type !== 'string' && typeof type !== 'number') throw refuse('type', type === undefined ? 'is missing' : `is ${JSON.stringify(type)}; a name or a code is allowed`);
  const numberField = (field: 'priority' | 'flags'): number => {
    const value = given[field];
    if (typeof value !== 'number') throw refuse(field, `is ${JSON.stringify(value)}; a number is allowed`);
    return value;
  };
  return {
    type,
    ...(given['id'] === undefined ? {} : { id: textField('id', given['id']) }),
    ...(given['path'] === undefined ? {} : { path: textField('path', given['path']) }),
    ...(given['to'] === undefined ? {} : { to: textField('to', given['to']) }),
    ...(given['payload'] === undefined ? {} : { payload: payloadField(given['payload']) }),
    ...(given['metadata'] === undefined ? {} : { metadata: given['metadata'] as JsonValue }),
    ...(given['priority'] === undefined ? {} : { priority: numberField('priority') }),
    ...(given['flags'] === undefined ? {} : { flags: numberField('flags') }),
    ...(given['sourceId'] === undefined ? {} : { sourceId: sourceIdField(given['sourceId']) }),
    ...(given['context'] === undefined ? {} : { context: given['context'] as { [key: string]: JsonValue } }),
  };
}
