import assert from 'node:assert/strict';
import { decodeDelivery, deliveryBytes, encodeDelivery } from '../../../dist/api/codec-delivery.js';
import type { Delivery } from '../../../dist/contracts/index.js';
import { DeliveryReader } from '../../../dist/events/index.js';
import { deliveryContext, packDeliveries, SMALL_EVENT } from '../../helpers/packing.js';
import { refusable } from '../check.js';
import type { Target } from '../target.js';

const HEAD_BYTES = 32;
const ITEM_BYTES = 60;
const RECORD_BYTES = 56;
const template = packDeliveries([SMALL_EVENT]);
const ORIGIN_BYTES = template[HEAD_BYTES + 57]!;
const RECORD_AT = HEAD_BYTES + ITEM_BYTES + ORIGIN_BYTES;

/** A delivery as the core packs it, of an event whose parts are as another member may have written them: the core checks lengths alone. */
function packed([presence = 0, code = 0, ...rest]: readonly number[]): Buffer {
  // Four lengths, then the parts; what is left is the payload.
  const lengths = rest.slice(0, 4);
  const body = Buffer.from(rest.slice(4));
  let left = body.length;
  let [path, to, metadata, context] = lengths.concat([0, 0, 0, 0]).map((length) => {
    const taken = Math.min(length, left);
    left -= taken;
    return taken;
  }) as [number, number, number, number];
  // What one byte cannot say: all that is left.
  if (rest[0] === 255) [path, to, metadata, context, left] = [0, 0, body.length, 0, 0];
  const record = Buffer.alloc(RECORD_BYTES + body.length);
  record.writeUInt32LE(record.length, 0);
  record.writeUInt16LE(code * 0x0101, 4);
  record[6] = code;
  record[7] = presence;
  record.writeUInt32LE(metadata, 12);
  record.writeUInt32LE(left, 16);
  record.writeUInt16LE(path, 20);
  record.writeUInt16LE(to, 22);
  record.writeUInt32LE(context, 48);
  // The context stands behind the metadata, the payload last.
  body.copy(record, RECORD_BYTES);
  const all = Buffer.concat([template.subarray(0, RECORD_AT), record]);
  all.writeUInt32LE(ITEM_BYTES + ORIGIN_BYTES + record.length, HEAD_BYTES);
  return all;
}

const event = (presence: number, ...parts: string[]): Uint8Array => {
  const [path = '', to = '', metadata = '', context = '', payload = ''] = parts.map((part) => Buffer.from(part));
  const lengths = [path, to, metadata, context].map(({ length }) => length);
  return Buffer.concat([Buffer.of(presence, 1, ...lengths), ...[path, to, metadata, context, payload].map((part) => Buffer.from(part))]);
};

export const deliveries: Target = {
  name: 'deliveries',
  reads: 'events in deliveries, as other members have written them',
  bytesMax: 16_384,
  words: ['{}', '[', '{"a":1}', 'null', '"', '\xff', '\xed\xa0\x80', '/p', '\x1f'],
  seeds: () => [event(0), event(31, '/a', '/b', '{"op":"x"}', '{"f":{}}', 'bytes'), event(4, '', '', '[[1,2],null]'), event(1, '/näme'), ...[300, 3_000].map((levels) => Buffer.concat([Buffer.of(4, 1, 255, 0, 0, 0), Buffer.from('['.repeat(levels) + ']'.repeat(levels))]))],
  run(bytes) {
    const [delivery] = [...new DeliveryReader(packed([...bytes]), deliveryContext)] as [Delivery];
    const { event } = delivery;
    assert.ok(event.path === null || typeof event.path === 'string');
    // What is no JSON is said by an error of ours, and by nothing else.
    const wire = refusable(() => encodeDelivery(1n, delivery), ['INVALID_EVENT']);
    if (wire === null) return;
    assert.ok(deliveryBytes(delivery) >= event.payload.length);
    const back = decodeDelivery(wire, async () => {});
    assert.deepEqual(back.event.metadata, event.metadata);
    assert.deepEqual(back.event.context, event.context);
    assert.deepEqual(Buffer.from(back.event.payload), Buffer.from(event.payload));
    assert.deepEqual([back.index, back.offset, back.event.id, back.event.path, back.event.to], [delivery.index, delivery.offset, event.id, event.path, event.to]);
    JSON.stringify(delivery);
  },
};
