/** Events that the coordinator itself writes: publishes of others are refused, and what a log has of them is believed by its id alone. */
import type { EventInput } from '../contracts/index.js';
import { DEGRADED, PLACE, PLACED } from './catalogue.js';
import type { EventIds } from './uuid.js';

/** In no event of a caller: nobody else has the symbol. */
const OWN = Symbol('own');
/** Of a UUID's text the character that says its version: 8 is for whoever makes it to give a meaning. */
const VERSION_AT = 14;
const OWN_VERSION = '8';

export const isReserved = (code: number): boolean => code === PLACE || code === DEGRADED || code === PLACED;

/** The event as one of the coordinator's own. */
export function asOwn<E extends EventInput>(event: E): E {
  return Object.assign(event, { [OWN]: true });
}

export const isOwn = (event: EventInput): boolean => Object.hasOwn(event, OWN);

/** An id for a note of the coordinator's own; no other event was ever given one. */
export function ownId(ids: EventIds): string {
  const id = ids.next();
  return `${id.slice(0, VERSION_AT)}${OWN_VERSION}${id.slice(VERSION_AT + 1)}`;
}

export const isOwnId = (id: string): boolean => id[VERSION_AT] === OWN_VERSION;
