/** The notice of a lowered event's place, however many actors its clock names. */
import test from 'ava';
import { type Asked, type Lowered, noticeOf, receiptOfNotice } from '../dist/coordinator/place-notice.js';
import { Placing } from '../dist/coordinator/placing.js';
import type { Delivery, EventInput, Receipt } from '../dist/contracts/index.js';
import { DeliveryReader, EventIds, newEventId } from '../dist/events/index.js';
import { realPorts } from '../dist/runtime/index.js';
import { until } from './helpers/cluster.js';
import { catalogue, deliveryContext, HEADER, newWriter, packDeliveries } from './helpers/packing.js';

const asked: Asked = { group: 0, level: 'linearizable', rule: null };
const NO_SESSION = { ...HEADER, session: null, firstSequence: 0n };

function lowered(actors: number): Lowered {
  const clock = Object.fromEntries(Array.from({ length: actors }, (_, at) => [`node-${at}`, `${at + 1_000_000_000_000}`]));
  return { event: { id: newEventId(), type: 'FilesystemWrite', path: '/x' }, actor: 'a~1', index: 5n, offset: 2, clock, hlc: 7n };
}

for (const actors of [3, 3_000]) {
  test(`with ${actors} actors it fits into the log, and tells the receipt that the event got`, (t) => {
    const event = lowered(actors);
    const [delivery] = [...new DeliveryReader(packDeliveries([noticeOf(event, asked, catalogue)], NO_SESSION), deliveryContext)] as [Delivery];
    t.deepEqual(noticeOf(event, asked, catalogue), noticeOf({ ...event, clock: Object.fromEntries(Object.entries(event.clock).reverse()) }, asked, catalogue));
    const receipt = receiptOfNotice(delivery, (actor, index, offset, clock) => `${actor} ${index} ${offset} ${Object.keys(clock).length}`);
    t.like(receipt, { eventId: event.event.id, index: 5n, offset: 2, hlc: 7n, requestedLevel: 'linearizable', cursor: `a~1 5 2 ${actors}` });
    t.deepEqual(receipt?.clock, event.clock);
    t.is(delivery.event.payload.length === 0, actors === 3, 'what fits into the metadata stays there');
  });
}

test('what is no clock makes no receipt', (t) => {
  for (const payload of ['', '5', 'null', '{']) {
    const notice = { ...noticeOf(lowered(3_000), asked, catalogue), payload: Buffer.from(payload) };
    const [delivery] = [...new DeliveryReader(packDeliveries([notice], NO_SESSION), deliveryContext)] as [Delivery];
    t.is(receiptOfNotice(delivery, () => null), null);
  }
});

for (const actors of [2_300, 3_000]) {
  test.serial(`all of many with ${actors} actors get their places, batch by batch`, async (t) => {
    const batches: number[] = [];
    const placing = new Placing({
      quorum: { state: () => 'there' },
      catalogue,
      ids: new EventIds(realPorts),
      publish: async (notices: readonly EventInput[]) => {
        batches.push(newWriter().packEvents({ ...NO_SESSION, events: notices }).count);
        return notices.map(() => ({}) as Receipt);
      },
      keep: async () => {},
    });
    t.teardown(() => placing.close());
    const events = Array.from({ length: 150 }, () => lowered(actors)).map((one) => ({ ...one, event: { ...one.event, path: `/${'x'.repeat(4_000)}` } }));
    placing.fill(placing.expect(null, 0, events.map(({ event }) => event.id)), events, asked);
    await until('places', () => placing.waiting === 0);
    t.is(batches.reduce((sum, count) => sum + count, 0), 150);
  });
}
