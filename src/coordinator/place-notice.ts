/**
 * What is written of events that were lowered to level causal (docs/formats.md, "Places"): with them, in the causal lane, where their places
 * will be; later, on the ordered lane, the places themselves, under the events' own ids.
 */
import { createHash } from 'node:crypto';
import { type Delivery, type EventInput, type JsonValue, LEVELS, type Level, LIMITS, type Receipt } from '../contracts/index.js';
import { asOwn, type Catalogue, DEGRADED, formatUuid, parseUuid, PLACE, PLACED } from '../events/index.js';

const ID_BYTES = 16;
const DIGEST_CHARACTERS = 32;

/** What a lowered event was to be. */
export interface Asked {
  readonly group: number;
  readonly level: Level;
  readonly rule: string | null;
}

/** A lowered event where it stands in the causal lane. */
export interface Lowered {
  readonly event: EventInput & { readonly id: string };
  readonly actor: string;
  readonly index: bigint;
  readonly offset: number;
  readonly clock: { readonly [actor: string]: string };
  readonly hlc: bigint;
}

/** Goes into the causal lane in front of the events with these ids, in the same submission. */
export function degradedEvent(id: string, { group, level, rule }: Asked, ids: readonly string[]): EventInput {
  const payload = new Uint8Array(ids.length * ID_BYTES);
  for (const [at, id] of ids.entries()) payload.set(parseUuid(id) ?? new Uint8Array(ID_BYTES), at * ID_BYTES);
  return asOwn({ id, type: DEGRADED, payload, metadata: { group, level, rule } });
}

/** Null for what cannot be understood. */
export function readDegraded({ metadata, payload }: { readonly metadata: JsonValue | null; readonly payload: Uint8Array }): { readonly asked: Asked; readonly ids: readonly string[] } | null {
  const { group, level, rule } = (metadata ?? {}) as { [field: string]: unknown };
  if (!Number.isInteger(group) || !isLevel(level) || payload.length % ID_BYTES !== 0) return null;
  const ids = Array.from({ length: payload.length / ID_BYTES }, (_, at) => formatUuid(payload, at * ID_BYTES));
  return { asked: { group: group as number, level, rule: typeof rule === 'string' ? rule : null }, ids };
}

/** Goes into the causal lane once all that this node has lowered has its place, up to these entries of its origins. */
export function placedEvent(id: string, through: ReadonlyMap<string, bigint>): EventInput {
  return asOwn({ id, type: PLACED, metadata: { through: Object.fromEntries([...through].map(([actor, index]) => [actor, index.toString()])) } });
}

export function readPlaced(metadata: JsonValue | null): ReadonlyMap<string, bigint> {
  const { through } = (metadata ?? {}) as { through?: unknown };
  const rows = typeof through === 'object' && through !== null ? Object.entries(through) : [];
  return new Map(rows.flatMap(([actor, index]) => (typeof index === 'string' && /^\d{1,20}$/.test(index) ? [[actor, BigInt(index)] as const] : [])));
}

/** The place itself. The same whoever makes it, and whenever: twice does no harm (rule R3). */
export function noticeOf({ event, actor, index, offset, clock, hlc }: Lowered, { level, rule }: Asked, catalogue: Catalogue): EventInput {
  const names = sorted(clock);
  const metadata = { actor, index: index.toString(), offset, clock: names, hlc: hlc.toString(), level, rule, digest: digestOf(event, catalogue) };
  const paths = { ...(event.path == null ? {} : { path: event.path }), ...(event.to == null ? {} : { to: event.to }) };
  const notice = { id: event.id, type: PLACE, ...paths };
  // What fits there has always been in the metadata, and stays the same to the byte.
  if (Buffer.byteLength(JSON.stringify(metadata)) <= LIMITS.metadataBytesMax) return asOwn({ ...notice, metadata });
  return asOwn({ ...notice, metadata: { ...metadata, clock: null }, payload: Buffer.from(JSON.stringify(names)) });
}

/** The clock of a notice; null for what cannot be understood. */
function clockOf(inMetadata: unknown, payload: Uint8Array): Lowered['clock'] | null {
  try {
    const clock: unknown = inMetadata ?? JSON.parse(Buffer.from(payload).toString());
    return typeof clock === 'object' && clock !== null ? (clock as Lowered['clock']) : null;
  } catch {
    return null;
  }
}

/** The receipt that the event of a place got when it was published; null for what is no place. A publish of other content under its id has none. */
export function receiptOfNotice(notice: Delivery, cursorOf: (actor: string, index: bigint, offset: number, clock: Lowered['clock']) => string | null): (Receipt & { readonly digest: string }) | null {
  if (notice.event.code !== PLACE) return null;
  const { actor, index, offset, clock: named, hlc, level, rule, digest } = (notice.event.metadata ?? {}) as { [field: string]: unknown };
  const clock = clockOf(named, notice.event.payload);
  const understood = typeof actor === 'string' && typeof index === 'string' && Number.isInteger(offset) && typeof hlc === 'string' && isLevel(level);
  if (!understood || clock === null) return null;
  const place = { index: BigInt(index), offset: offset as number, clock };
  return {
    eventId: notice.event.id,
    level: 'causal',
    requestedLevel: level,
    lane: 'causal',
    group: 0,
    ...place,
    term: 0n,
    cursor: cursorOf(actor, place.index, place.offset, place.clock) ?? notice.cursor,
    durableMembers: 1,
    hlc: BigInt(hlc),
    degraded: true,
    rule: typeof rule === 'string' ? rule : null,
    certificate: null,
    duplicate: true,
    latencyUs: 0,
    digest: String(digest),
  };
}

type Content = { readonly [Field in Exclude<keyof EventInput, 'id' | 'context'>]?: EventInput[Field] | null } & { readonly context?: JsonValue };

/** Tells events of one id apart; of one that is to be published as of the same one delivered. */
export function digestOf(event: Content & { readonly code?: number }, catalogue: Catalogue): string {
  const { type, path, to, payload, metadata, priority, flags, sourceId, context } = event;
  const code = event.code ?? catalogue.codeOf(type as string | number);
  const fields = [code, path ?? null, to ?? null, priority ?? 3, flags ?? 0, sourceId?.toString() ?? null, metadata ?? null, context ?? null];
  const hash = createHash('sha256').update(JSON.stringify(fields)).update(payload ?? new Uint8Array());
  return hash.digest('hex').slice(0, DIGEST_CHARACTERS);
}

const isLevel = (value: unknown): value is Level => (LEVELS as readonly unknown[]).includes(value);
const sorted = (clock: Lowered['clock']) => Object.fromEntries(Object.entries(clock).sort(([a], [b]) => (a < b ? -1 : 1)));
