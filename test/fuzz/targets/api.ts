import assert from 'node:assert/strict';
import type { Receipt } from '../../../dist/contracts/index.js';
import { decodeEvent, encodeEvent, eventBytes } from '../../../dist/api/codec-event.js';
import { decodeReceipt, decodePublishOptions, encodePublishOptions, encodeReceipt } from '../../../dist/api/codec-publish.js';
import { decodeWhere, encodeWhere } from '../../../dist/api/codec-where.js';
import { clientMethod, type MethodName, Malformed, METHODS, serverDefinition } from '../../../dist/api/schema.js';
import type { WireEvent, WirePublishOptions, WireReceipt, WireSubscribeRequest } from '../../../dist/api/wire.js';
import { filterOf } from '../../../dist/events/index.js';
import { catalogue, FULL_EVENT, HEADER, newWriter } from '../../helpers/packing.js';
import { refusable } from '../check.js';
import type { Target } from '../target.js';

const server = serverDefinition('protobuf');
const RECEIPT: Receipt = {
  eventId: 'e',
  level: 'linearizable',
  requestedLevel: 'strong',
  lane: 'ordered',
  group: 1,
  index: 5n,
  offset: 2,
  term: 3n,
  cursor: 'AQ',
  durableMembers: 2,
  clock: { a: '1' },
  hlc: 9n,
  degraded: false,
  rule: 'r',
  certificate: null,
  duplicate: true,
  latencyUs: 12,
};

const said = (method: MethodName, message: object): Buffer => Buffer.concat([Buffer.of(METHODS.indexOf(method)), clientMethod<object, object>(method).requestSerialize(message)]);

/** A method by the first byte; then its request as it comes over the wire, and what our types make of it. */
export const api: Target = {
  name: 'api',
  reads: 'requests of the API, and our types made of them',
  bytesMax: 16_384,
  words: ['{}', '{"a":[]}', '[', '\x0a\x00', '\x12\x02{}', '/**', '{', 'filesystem', 'FilesystemWrite', '0x0103', '\xff\xff\xff\xff\x0f', '\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01', '\xed\xa0\x80'],
  seeds: () => [
    said('Publish', { event: encodeEvent(FULL_EVENT), options: encodePublishOptions({ consistency: 'strong', quorumSize: 'all', timeoutMs: 5, after: 'AQ', maxStalenessMs: 3 }) }),
    said('PublishBatch', { events: [encodeEvent({ type: 0x0103, metadata: { a: [1] } })], options: encodePublishOptions({ consistency: 'adaptive', protocol: 'raft', quorumSize: 2 }) }),
    said('PublishStream', { events: [{ number: '1', event: encodeEvent(FULL_EVENT) }] }),
    said('Subscribe', { start: { where: encodeWhere({ type: ['filesystem', 0x0103], path: '/a/**' }), consumer: 'c', after: 'AQ' } }),
    said('Subscribe', { acknowledge: { number: '7' } }),
    // As deep as there is stack for, and deeper.
    ...[300, 3_000, 6_000].map((levels) => said('PublishStream', { events: [{ number: '1', event: { code: 259, metadataJson: '['.repeat(levels) + ']'.repeat(levels) } }] })),
    said('Outcome', { eventId: '01890a5d-ac96-774b-bcce-b302099a8057' }),
    said('RelatedEvents', {}),
    said('ChangeMembers', { add: { nodeId: 'd', address: 'd:1' } }),
    said('TransferLeadership', { to: 'b' }),
    said('SaveSnapshot', { group: 1 }),
  ],
  run(bytes) {
    const name = METHODS[(bytes[0] ?? 0) % METHODS.length]!;
    const request = server[name]!.requestDeserialize(Buffer.from(bytes.subarray(1))) as Record<string, unknown>;
    if (request instanceof Malformed) return void assert.ok(request.reason.length > 0);
    const { event, events, options, start, where } = request as { event?: WireEvent | null; events?: unknown[]; options?: WirePublishOptions | null; start?: WireSubscribeRequest['start']; where?: never };
    if ('event' in request) ofEvent(event ?? null);
    for (const one of events ?? []) ofEvent(name === 'PublishStream' ? ((one as { event: WireEvent | null }).event ?? null) : (one as WireEvent));
    if ('options' in request) ofOptions(options);
    const filter = decodeWhere(start?.where ?? where);
    if (filter !== undefined) {
      refusable(() => filterOf(filter, catalogue), ['UNKNOWN_EVENT_TYPE', 'FILTER_INVALID']);
      assert.deepEqual(decodeWhere({ ...encodeWhere(filter) }), filter);
    }
  },
};

function ofEvent(wire: WireEvent | null): void {
  const event = refusable(() => decodeEvent(wire), ['INVALID_EVENT']);
  if (event === null) return;
  const again = refusable(() => encodeEvent(event), ['INVALID_EVENT', 'PATH_INVALID']);
  // As text: values may have more levels than can be compared.
  if (again !== null) assert.deepEqual(encodeEvent(decodeEvent({ ...again })), again);
  assert.ok(eventBytes(event) >= 64);
  const packed = refusable(() => newWriter().packEvents({ ...HEADER, events: [event] }));
  assert.ok(packed === null || packed.count === 1);
}

function ofOptions(wire: WirePublishOptions | null | undefined): void {
  const options = refusable(() => decodePublishOptions(wire), ['UNKNOWN_LEVEL']);
  if (options === null) return;
  const again = refusable(() => encodePublishOptions(options));
  if (again !== null && options.quorumSize !== 0) assert.deepEqual(decodePublishOptions({ ...again }).consistency, options.consistency);
}

/** What a client reads of a server. */
export const answers: Target = {
  name: 'answers',
  reads: 'answers of the API, as a client reads them',
  bytesMax: 1_024,
  words: ['LEVEL_', '\x08', '\x10', '\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01', '__proto__', 'constructor'],
  seeds: () => [clientMethod<object, object>('Publish').responseSerialize({ receipt: encodeReceipt(RECEIPT) })],
  run(bytes) {
    let answer: { receipt: WireReceipt | null };
    try {
      answer = clientMethod<object, typeof answer>('Publish').responseDeserialize(Buffer.from(bytes));
    } catch {
      // The library says it as a status.
      return;
    }
    if (answer.receipt === null) return;
    const { receipt: wire } = answer;
    const receipt = refusable(() => decodeReceipt(wire), ['UNKNOWN_LEVEL']);
    if (receipt !== null) assert.deepEqual(decodeReceipt({ ...encodeReceipt(receipt) }), { ...receipt, latencyUs: Math.max(0, receipt.latencyUs) });
  },
};
