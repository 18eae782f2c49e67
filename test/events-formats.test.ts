import test from 'ava';
import fc from 'fast-check';
import type { EventInput, JsonValue } from '../dist/contracts/index.js';
import { CoordinatorError } from '../dist/errors/index.js';
import { CausalPlace, CursorCodec, DeliveryReader, formatUuid } from '../dist/events/index.js';
import { golden, goldenBytes } from './helpers/golden.js';
import { catalogue, deliveryContext, FULL_EVENT, HEADER, newWriter, packDeliveries, SMALL_EVENT } from './helpers/packing.js';

const NO_SESSION = { ...HEADER, session: null, firstSequence: 0n };
const FOLLOWS = CausalPlace.first.after([[{ member: 7n, incarnation: 1 }, 40n]]).within({ name: 'b', member: 3n, incarnation: 0 }, 9n, 2).follows();
const CONSUMER = { ...NO_SESSION, name: 'indexer', epoch: 2n, index: 40n, offset: 3 };

for (const [name, bytes] of Object.entries({
  'submission-events': () => newWriter().packEvents({ ...HEADER, events: [FULL_EVENT, SMALL_EVENT] }).bytes,
  'submission-events-no-session': () => newWriter().packEvents({ ...NO_SESSION, level: 'sequential', events: [{ type: 'SystemSync' }] }).bytes,
  'submission-events-following': () => newWriter().packEvents({ ...NO_SESSION, level: 'sequential', events: [{ type: 'SystemSync' }], follows: FOLLOWS }).bytes,
  'submission-skip': () => newWriter().packSkip(HEADER, 4),
  'submission-fence': () => newWriter().packFence(NO_SESSION, Uint8Array.from({ length: 16 }, (_, byte) => byte)),
  'submission-consumer-attach': () => newWriter().packConsumer('consumerAttach', CONSUMER),
  'submission-consumer-claim': () => newWriter().packConsumer('consumerClaim', CONSUMER),
  'submission-consumer-acknowledge': () => newWriter().packConsumer('consumerAcknowledge', CONSUMER),
  'packed-deliveries': () => packDeliveries([FULL_EVENT, SMALL_EVENT]),
  cursor: () => Buffer.from(new CursorCodec('vexfs').encode({ group: 1, index: 0x0102_0304_0506_0708n, offset: 9 }), 'base64url'),
})) {
  test(`format of ${name} is that of its golden file`, (t) => {
    const { written, expected } = golden(name, bytes());
    t.is(written, expected);
  });
}

test('the golden deliveries read back as what was published', (t) => {
  const reader = new DeliveryReader(goldenBytes('packed-deliveries'), deliveryContext);
  t.is(reader.nextIndex, 12n);
  t.is(reader.nextOffset, 2);
  t.is(reader.count, 2);
  t.is(reader.appliedIndex, 20n);
  t.false(reader.waits);
  const [full, small] = [...reader];
  t.deepEqual(JSON.parse(JSON.stringify(full)), {
    cursor: new CursorCodec('vexfs').encode({ group: 0, index: 12n, offset: 0 }),
    index: '12',
    offset: 0,
    term: '3',
    group: 0,
    lane: 'ordered',
    level: 'linearizable',
    redelivered: false,
    fencingToken: null,
    clock: null,
    held: true,
    event: {
      id: '01890a5d-ac96-774b-bcce-b302099a8057',
      type: 'FilesystemRename',
      code: 0x0105,
      origin: 'node-a',
      session: 'a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf',
      sequence: '7',
      path: '/old/näme',
      to: '/new/name',
      payload: 'AAH+/w==',
      metadata: { op: 'rename', bytes: 12 },
      priority: 1,
      flags: 0x8000_0003,
      sourceId: '18364758544493064720',
      context: { filesystem: { inode: 9 } },
      hlc: String(HEADER.hlc),
    },
  });
  t.is(small?.event.type, 'BackupDone');
  t.is(small?.event.sequence, 8n);
  for (const absent of [small?.event.path, small?.event.to, small?.event.metadata, small?.event.sourceId, small?.event.context]) t.is(absent, null);
  t.is(small?.event.payload.length, 0);
});

test('a named consumer gives redelivery, its token and the acknowledgement', async (t) => {
  const acknowledged: [bigint, number][] = [];
  const consumer = {
    fencingToken: 5n,
    isRedelivered: (_index: bigint, offset: number) => offset === 0,
    ack: async (index: bigint, offset: number) => void acknowledged.push([index, offset]),
  };
  const deliveries = [...new DeliveryReader(packDeliveries([SMALL_EVENT, SMALL_EVENT], { ...HEADER, session: null }), { ...deliveryContext, consumer })];
  t.deepEqual(deliveries.map((one) => one.redelivered), [true, false]);
  t.is(deliveries[0]?.fencingToken, 5n);
  t.is(deliveries[0]?.event.session, null);
  await deliveries[1]?.ack();
  t.deepEqual(acknowledged, [[12n, 1]]);
});

const path = fc
  .string({ unit: 'grapheme', maxLength: 60 })
  .filter((text) => !text.includes('\0') && text.isWellFormed())
  .map((text) => `/${text}`);
const anyEvent: fc.Arbitrary<EventInput> = fc
  .record(
    {
      type: fc.oneof(fc.constantFrom('FilesystemWrite', 'GraphQuery', 'BackupDone'), fc.integer({ min: 0x1000, max: 0xffff })),
      id: fc.uuid().filter((id) => id !== '00000000-0000-0000-0000-000000000000'),
      path,
      to: path,
      payload: fc.uint8Array({ maxLength: 300 }),
      metadata: fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as JsonValue),
      priority: fc.integer({ min: 1, max: 5 }),
      flags: fc.integer({ min: 0, max: 0xffff_ffff }),
      sourceId: fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
      context: fc.dictionary(fc.string(), fc.integer()).map((value) => JSON.parse(JSON.stringify(value)) as { [key: string]: JsonValue }),
    },
    { requiredKeys: ['type', 'id'] },
  )
  .map((event) => event as EventInput);

test('events read back as they were packed', (t) => {
  fc.assert(
    fc.property(fc.array(anyEvent, { minLength: 1, maxLength: 5 }), (events) => {
      const read = [...new DeliveryReader(packDeliveries(events), deliveryContext)];
      t.is(read.length, events.length);
      events.forEach((event, at) => {
        const { event: got } = read[at] ?? {};
        t.is(got?.code, catalogue.codeOf(event.type));
        t.is(got?.id, event.id?.toLowerCase());
        t.is(got?.path, event.path ?? null);
        t.is(got?.to, event.to ?? null);
        t.deepEqual(Buffer.from(got?.payload ?? []), Buffer.from(event.payload ?? []));
        t.deepEqual(got?.metadata, event.metadata ?? null);
        t.is(got?.priority, event.priority ?? 3);
        t.is(got?.flags, event.flags ?? 0);
        t.is(got?.sourceId, event.sourceId ?? null);
        t.deepEqual(got?.context, event.context ?? null);
      });
    }),
    { numRuns: 200 },
  );
});

test('bytes that are no deliveries are an error, never a crash', (t) => {
  const whole = packDeliveries([FULL_EVENT, SMALL_EVENT]);
  const readAll = (bytes: Uint8Array) => JSON.stringify([...new DeliveryReader(bytes, deliveryContext)]);
  for (let length = 0; length < whole.length; length++) t.throws(() => readAll(whole.subarray(0, length)), { instanceOf: CoordinatorError, code: 'INTERNAL' });
});

test('cursors read back, and those of others are refused', (t) => {
  const codec = new CursorCodec('vexfs');
  fc.assert(
    fc.property(fc.nat(0xffff_ffff), fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }), fc.nat(0xffff_ffff), (group, index, offset) => {
      t.deepEqual(codec.decode(codec.encode({ group, index, offset })), { group, index, offset });
    }),
  );
  const cursor = codec.encode({ group: 0, index: 9n, offset: 1 });
  const refused = (text: string, pattern: RegExp, reader = codec) => {
    const error = t.throws(() => reader.decode(text), { instanceOf: CoordinatorError });
    t.is(error.code, 'CURSOR_INVALID');
    t.regex(error.message, pattern);
  };
  refused(cursor, /damaged or of another cluster/, new CursorCodec('other'));
  refused('', /is not one/);
  refused(`${cursor}=`, /is not one/);
  refused(`Ag${cursor.slice(2)}`, /version 2/);
  for (let at = 2; at < cursor.length; at++) {
    const flipped = cursor.slice(0, at) + (cursor[at] === 'A' ? 'B' : 'A') + cursor.slice(at + 1);
    t.throws(() => codec.decode(flipped), { code: 'CURSOR_INVALID' });
  }
});

test('ids of a batch come with it, in order', (t) => {
  const packed = newWriter().packEvents({ ...HEADER, events: [FULL_EVENT, { type: 'SystemSync' }, SMALL_EVENT] });
  t.is(packed.count, 3);
  t.is(formatUuid(packed.ids, 0), FULL_EVENT.id ?? '');
  t.is(formatUuid(packed.ids, 16)[14], '7');
  t.is(formatUuid(packed.ids, 32), SMALL_EVENT.id ?? '');
});

test('an event follows entries of so many actors and no more', (t) => {
  const rows = (count: number) => Array.from({ length: count }, (_, at) => [{ member: BigInt(at), incarnation: 0 }, 1n] as const);
  t.is(CausalPlace.first.after(rows(4096)).follows()?.length, 4 + 4096 * 20);
  const error = t.throws(() => CausalPlace.first.after(rows(4097)).follows(), { instanceOf: CoordinatorError });
  t.like(error, { code: 'USAGE', committed: 'no', details: { limit: 4096 } });
  t.is(CausalPlace.first.follows(), null);
});
