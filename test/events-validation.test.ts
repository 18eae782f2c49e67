import test from 'ava';
import { encodeEvent, eventBytes } from '../dist/api/codec-event.js';
import { type EventInput, type JsonValue, LIMITS } from '../dist/contracts/index.js';
import { CoordinatorError, type ErrorCode } from '../dist/errors/index.js';
import { Catalogue, EVENT_TYPES, EventIds, eventFromJson, filterOf, jsonOf, parseUuid, parseWhere } from '../dist/events/index.js';
import { catalogue, countingIds, FULL_EVENT, HEADER, newWriter, SMALL_EVENT } from './helpers/packing.js';

const pack = (...events: EventInput[]) => newWriter().packEvents({ ...HEADER, events });
const newIds = (nowMs: () => number) => new EventIds({ nowMs, fillRandom: (buffer) => void buffer.fill(255) });
const loose = (event: Record<string, unknown>) => event as unknown as EventInput;

test('what is no object is no event', (t) => {
  for (const value of [null, undefined, 7, 'text']) {
    const error = t.throws(() => pack(value as unknown as EventInput), { instanceOf: CoordinatorError });
    t.is(error?.code, 'INVALID_EVENT');
    t.regex(error?.message ?? '', /^the event is .*; an object is allowed\.$/);
  }
});

const BAD: readonly [ErrorCode, Record<string, unknown>, RegExp][] = [
  ['UNKNOWN_EVENT_TYPE', { type: 'FilesystemWrit' }, /^"FilesystemWrit" is no event type; did you mean FilesystemWrite\?$/],
  ['UNKNOWN_EVENT_TYPE', { type: 0x0701 }, /^0x0701 is no event type/],
  ['UNKNOWN_EVENT_TYPE', { type: 0x10000 }, /^0x10000/],
  ['UNKNOWN_EVENT_TYPE', { type: 4096.5 }, /no event type/],
  ['UNKNOWN_EVENT_TYPE', {}, /^undefined is no event type/],
  ['INVALID_EVENT', { type: 0x1000, priority: 0 }, /^priority is 0; a whole number from 1 to 5/],
  ['INVALID_EVENT', { type: 0x1000, priority: '1' }, /^priority is "1"/],
  ['INVALID_EVENT', { type: 0x1000, flags: -1 }, /^flags is -1/],
  ['INVALID_EVENT', { type: 0x1000, flags: 2 ** 32 }, /^flags is 4294967296/],
  ['INVALID_EVENT', { type: 0x1000, sourceId: 1 }, /^sourceId is 1; a bigint/],
  ['INVALID_EVENT', { type: 0x1000, sourceId: 2n ** 64n }, /^sourceId is 18446744073709551616/],
  ['INVALID_EVENT', { type: 0x1000, payload: 'text' }, /^payload is of type string/],
  ['INVALID_EVENT', { type: 0x1000, metadata: () => 1 }, /^metadata is function/],
  ['INVALID_EVENT', { type: 0x1000, metadata: { n: 1n } }, /^metadata cannot be written as JSON/],
  ['INVALID_EVENT', { type: 0x1000, context: [] }, /^context is no object/],
  ['INVALID_EVENT_ID', { type: 0x1000, id: 'x' }, /^id is "x"/],
  ['INVALID_EVENT_ID', { type: 0x1000, id: '01890a5d-ac96-774b-bcce-b302099a805g' }, /^id is/],
  ['INVALID_EVENT_ID', { type: 0x1000, id: '01890a5d-ac96-774b-bcce-b302099a80\u0141\u0141' }, /^id is/],
  ['INVALID_EVENT_ID', { type: 0x1000, id: '00000000-0000-0000-0000-000000000000' }, /^id is/],
  ['PATH_INVALID', { type: 0x1000, path: 'relative' }, /^path is "relative"; an absolute path/],
  ['PATH_INVALID', { type: 0x1000, path: '' }, /^path is ""/],
  ['PATH_INVALID', { type: 0x1000, path: 5 }, /^path is of type number/],
  ['PATH_INVALID', { type: 0x1000, path: '/a\0b' }, /^path has a NUL/],
  ['PATH_INVALID', { type: 0x1000, path: '/ä\0b' }, /^path has a NUL/],
  ['PATH_INVALID', { type: 0x1000, to: '/\ud800' }, /^to has an unpaired surrogate/],
  ['PATH_INVALID', { type: 0x1000, path: `/${'a'.repeat(4096)}` }, /^path is 4097 bytes; at most 4096/],
  ['PATH_INVALID', { type: 0x1000, path: `/${'ä'.repeat(2048)}` }, /^path is 4097 bytes/],
  ['PAYLOAD_TOO_LARGE', { type: 0x1000, payload: new Uint8Array(LIMITS.payloadBytesMax + 1) }, /^payload is 1048577 bytes; at most 1048576/],
  ['METADATA_TOO_LARGE', { type: 0x1000, metadata: 'a'.repeat(65_535) }, /^metadata is 65537 bytes as JSON; at most 65536/],
  ['METADATA_TOO_LARGE', { type: 0x1000, metadata: 'ä'.repeat(32_768) }, /^metadata is 65538 bytes/],
  ['METADATA_TOO_LARGE', { type: 0x1000, context: { a: 'a'.repeat(65_536) } }, /^context is/],
];

test('every mistake in an event has its code and names its field', (t) => {
  for (const [code, event, pattern] of BAD) {
    const error = t.throws(() => pack(loose(event)), { instanceOf: CoordinatorError }, String(pattern));
    t.is(error.code, code, String(pattern));
    t.regex(error.message, pattern);
    t.is(error.committed, 'no');
  }
});

test('what stands exactly at a limit is taken', (t) => {
  t.notThrows(() =>
    pack(
      { type: 'SystemSync', path: `/${'a'.repeat(4095)}`, to: `/${'ä'.repeat(2047)}a`, payload: new Uint8Array(LIMITS.payloadBytesMax) },
      { type: '0xFFFF', metadata: 'a'.repeat(65_534), priority: 5, flags: 0xffff_ffff, sourceId: 2n ** 64n - 1n },
      { type: '4096', metadata: null, path: '/' },
    ),
  );
});

test('metadata that nests deeper than everybody has stack for is refused, be it ever so short', (t) => {
  const levels = (count: number): JsonValue => JSON.parse(`${'['.repeat(count)}${']'.repeat(count)}`) as JsonValue;
  const of = (metadata: JsonValue): EventInput => ({ type: 0x1000, metadata });
  t.is(pack(of(levels(256)), of({ text: '['.repeat(1_000) })).count, 2);
  for (const count of [257, 3_000]) t.throws(() => pack(of(levels(count))), { code: 'INVALID_EVENT', message: /^metadata has more than 256 levels/ });
  // What cannot be written at all is that event's own mistake too, where only its size is asked.
  t.true(eventBytes(of(levels(20_000))) >= 64);
  t.throws(() => encodeEvent(of(levels(20_000))), { code: 'INVALID_EVENT', message: /^metadata cannot be written as JSON/ });
});

test('a batch with one bad event packs nothing, and says which it is', (t) => {
  const writer = newWriter();
  const before = Buffer.from(writer.packEvents({ ...HEADER, events: [FULL_EVENT] }).bytes);
  const error = t.throws(() => writer.packEvents({ ...HEADER, events: [SMALL_EVENT, SMALL_EVENT, { type: 'SystemSync', path: 'x' }] }), { instanceOf: CoordinatorError });
  t.regex(error.message, /^event 2: path is "x"/);
  t.deepEqual(error.details, { event: 2, field: 'path' });
  t.deepEqual(Buffer.from(writer.packEvents({ ...HEADER, events: [FULL_EVENT] }).bytes), before);
});

test('with refusals, the good events are packed and the bad ones told apart', (t) => {
  const refusals = new Map<number, CoordinatorError>();
  const packed = newWriter().packEvents({ ...HEADER, events: [FULL_EVENT, { type: 'nothing' }, SMALL_EVENT], refusals });
  t.deepEqual([...refusals.keys()], [1]);
  t.is(refusals.get(1)?.code, 'UNKNOWN_EVENT_TYPE');
  t.is(packed.count, 2);
  t.is(packed.ids.length, 32);
  t.deepEqual(Buffer.from(packed.bytes), Buffer.from(newWriter().packEvents({ ...HEADER, events: [FULL_EVENT, SMALL_EVENT] }).bytes));
});

test('a batch over its limits is refused', (t) => {
  const many = Array.from({ length: LIMITS.batchEventsMax + 1 }, () => SMALL_EVENT);
  t.throws(() => pack(...many), { code: 'BATCH_TOO_LARGE', message: /65536 events; at most 65535/ });
  const big = { type: 'SystemSync', payload: new Uint8Array(LIMITS.payloadBytesMax) };
  t.throws(() => pack(...Array.from({ length: 8 }, () => big)), { code: 'BATCH_TOO_LARGE', message: /from event 7 on/ });
  t.notThrows(() => pack(...Array.from({ length: 7 }, () => big)));
});

test('a consumer has a name of 1 to 256 bytes', (t) => {
  const consumer = { ...HEADER, epoch: 0n, index: 0n, offset: 0 };
  for (const name of ['', 'ä'.repeat(129)]) t.throws(() => newWriter().packConsumer('consumerAttach', { ...consumer, name }), { code: 'FILTER_INVALID' });
});

test('the catalogue has the numbers of VexFS', (t) => {
  // And the coordinator's own four.
  t.is(EVENT_TYPES.size, 12 + 10 + 8 + 6 + 6 + 6 + 12 + 4);
  const spots = { FilesystemCreate: 0x0101, FilesystemHardlink: 0x010c, GraphQuery: 0x020a, VectorEmbed: 0x0308, AgentInteraction: 0x0406, SystemSync: 0x0503, SemanticLink: 0x0606, ObservabilityThreshold: 0x080c };
  for (const [name, code] of Object.entries(spots)) {
    t.is(catalogue.codeOf(name), code);
    t.is(catalogue.nameOf(code), name);
  }
  t.is(catalogue.nameOf(0x2000), '8192');
  t.is(catalogue.codeOf('8192'), 0x2000);
  t.is(catalogue.codeOf('BackupDone'), 0x1000);
  t.throws(() => new Catalogue({ FilesystemRead: 0x1000 }), { code: 'CONFIG_INVALID' });
  t.throws(() => new Catalogue({ graph: 0x1000 }), { code: 'CONFIG_INVALID' });
});

test('ids are version 7, never repeat and rise also when the clock goes back', (t) => {
  let nowMs = 1000;
  const ids = countingIds();
  const stepping = newIds(() => nowMs);
  const made: string[] = [];
  for (let at = 0; at < 5000; at++) {
    if (at % 1000 === 999) nowMs -= 300;
    made.push(stepping.next());
  }
  t.deepEqual(made, [...new Set(made)].sort());
  for (const id of [ids.next(), ...made]) t.regex(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  t.is(parseUuid('FFFFFFFF-ffff-ffff-ffff-ffffffffffff')?.every((byte) => byte === 255), true);
});

test('an event comes from its JSON form, and nothing else passes', (t) => {
  const json = { type: 'FilesystemWrite', path: '/a', payload: 'AAH+/w==', sourceId: '18446744073709551615', metadata: { a: [null] }, priority: 2, flags: 1, id: FULL_EVENT.id };
  t.deepEqual(eventFromJson(json), { ...json, payload: Buffer.from([0, 1, 254, 255]), sourceId: 2n ** 64n - 1n } as unknown as EventInput);
  const refused = (value: unknown, pattern: RegExp) => t.throws(() => eventFromJson(value), { code: 'INVALID_EVENT', message: pattern });
  refused(null, /no JSON object/);
  refused([], /no JSON object/);
  refused({}, /^type is missing/);
  refused({ type: null }, /^type is null/);
  refused({ type: 'A', payloud: '' }, /^payloud is no field of an event; payload is one/);
  refused({ type: 'A', payload: '!' }, /^payload is no base64/);
  refused({ type: 'A', sourceId: '-1' }, /^sourceId is "-1"; a decimal string/);
  refused({ type: 'A', sourceId: 2 ** 60 }, /^sourceId/);
  refused({ type: 'A', path: 1 }, /^path is 1/);
});

test('values go to JSON with u64 as text and bytes as base64', (t) => {
  t.is(JSON.stringify(jsonOf(JSON.parse('{"__proto__":{"a":1},"constructor":2}'))), '{"__proto__":{"a":1},"constructor":2}');
  t.deepEqual(jsonOf({ a: 1n, b: Uint8Array.of(255), c: [undefined, 2n], d: undefined, e: { toJSON: () => 'x' }, f: Number.NaN }), { a: '1', b: '/w==', c: [null, '2'], e: 'x', f: null });
});

test('a filter is checked against the catalogue', (t) => {
  t.deepEqual(filterOf(undefined, catalogue), { codes: [], categories: [], globs: [] });
  t.deepEqual(filterOf({ type: ['FilesystemWrite', 0x2000, 'graph'], path: '/src/**' }, catalogue), { codes: [0x0104, 0x2000], categories: [0x0200], globs: ['/src/**'] });
  t.throws(() => filterOf({ type: 'FilesystmWrite' }, catalogue), { code: 'UNKNOWN_EVENT_TYPE', message: /did you mean FilesystemWrite/ });
  t.throws(() => filterOf({ path: 'src/**' }, catalogue), { code: 'FILTER_INVALID', message: /can match no path/ });
  t.throws(() => filterOf({ path: [] }, catalogue), { code: 'FILTER_INVALID' });
  t.throws(() => filterOf({ typ: 'x' } as never, catalogue), { code: 'FILTER_INVALID', message: /where\.typ is no condition/ });
});

test('the command line has its own words for a filter', (t) => {
  t.deepEqual(parseWhere('type=FilesystemWrite,graph path=/x/** path="/with space/{a,b}" '), { type: ['FilesystemWrite', 'graph'], path: ['/x/**', '/with space/{a,b}'] });
  t.deepEqual(parseWhere(''), {});
  t.throws(() => parseWhere('size=4'), { code: 'FILTER_INVALID', message: /no condition size/ });
  t.throws(() => parseWhere('type=A nonsense'), { code: 'FILTER_INVALID', message: /from character 7 on: "nonsense"/ });
  t.throws(() => parseWhere('path="/open'), { code: 'FILTER_INVALID' });
});
