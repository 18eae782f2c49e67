import { randomFillSync } from 'node:crypto';
import { Packr } from 'msgpackr';
import protobuf from 'protobufjs';
import { MessageCodec } from '../../dist/api/msgpack.js';
import { clientMethod } from '../../dist/api/schema.js';
import { Catalogue, DeliveryReader, EventIds, newEventId, SubmissionWriter } from '../../dist/events/index.js';
import { deliveryContext, packDeliveries } from '../../test/helpers/packing.js';
import { type Case, timeCases } from '../cases.js';
import type { Suite } from '../context.js';

const PAYLOAD_BYTES = 256;

interface Codec {
  readonly name: string;
  readonly bytes: number;
  encode(): unknown;
  decode(): unknown;
}

const message = {
  id: newEventId(),
  name: 'FilesystemWrite',
  path: '/home/user/project/src/main.ts',
  payload: randomFillSync(Buffer.alloc(PAYLOAD_BYTES)),
  metadataJson: '{"offset":4096}',
  priority: 3,
  flags: 0,
  sourceId: '123456789',
};
const event = { id: message.id, type: message.name, path: message.path, payload: message.payload, metadata: { offset: 4096 }, priority: 3, flags: 0, sourceId: 123456789n } as const;

/** As a member packs an event that is published, and reads one that is delivered. */
function packed(): Codec {
  const writer = new SubmissionWriter(new Catalogue(), new EventIds({ nowMs: Date.now, fillRandom: (bytes) => void randomFillSync(bytes) }));
  const request = { level: 'linearizable', origin: 'a', group: 0, session: null, firstSequence: 0n, acknowledgedThrough: 0n, hlc: 0n, events: [event] } as const;
  const delivered = packDeliveries([event]);
  return {
    name: 'packed',
    bytes: Buffer.from(writer.packEvents(request).bytes).length,
    encode: () => writer.packEvents(request),
    decode: () => {
      for (const { event: read } of new DeliveryReader(delivered, deliveryContext)) void [read.id, read.type, read.path, read.payload, read.metadata, read.priority, read.flags, read.sourceId];
    },
  };
}

function codecsOf(): Codec[] {
  const type = protobuf.loadSync('proto/coordinator.proto').lookupType('vexfs.coordinator.v1.Event');
  const options: protobuf.IConversionOptions = { longs: String, enums: String, defaults: true, arrays: true, objects: true, oneofs: true };
  const proto = type.encode(type.fromObject(message)).finish();
  const checked = MessageCodec.of(type);
  const ours = checked.encode(message);
  const packr = new Packr({ useRecords: false });
  const bare = Buffer.from(packr.pack(message));
  const text = JSON.stringify({ ...message, payload: message.payload.toString('base64') });
  const [api, msgpack] = [clientMethod<object, object>('Publish'), clientMethod<object, object>('Publish', 'msgpack')];
  const request = { event: message };
  const [asProto, asMsgpack] = [api.requestSerialize(request), msgpack.requestSerialize(request)];
  return [
    { name: 'protobuf', bytes: proto.length, encode: () => type.encode(type.fromObject(message)).finish(), decode: () => type.toObject(type.decode(proto), options) },
    { name: 'msgpack', bytes: ours.length, encode: () => checked.encode(message), decode: () => checked.decode(ours) },
    { name: 'msgpackBare', bytes: bare.length, encode: () => packr.pack(message), decode: () => packr.unpack(bare) },
    {
      name: 'json',
      bytes: Buffer.byteLength(text),
      encode: () => Buffer.from(JSON.stringify({ ...message, payload: message.payload.toString('base64') })),
      decode: () => {
        const read = JSON.parse(text) as { payload: string };
        return { ...read, payload: Buffer.from(read.payload, 'base64') };
      },
    },
    { name: 'apiProtobuf', bytes: asProto.length, encode: () => api.requestSerialize(request), decode: () => api.requestDeserialize(asProto) },
    { name: 'apiMsgpack', bytes: asMsgpack.length, encode: () => msgpack.requestSerialize(request), decode: () => msgpack.requestDeserialize(asMsgpack) },
    packed(),
  ];
}

export const codecs: Suite = {
  name: 'codecs',
  summary: 'an event with a payload of 256 bytes in each codec: encoded and decoded a second, and its bytes',
  async run({ options, report }) {
    const every = codecsOf();
    const seconds = options.quick ? 0.2 : 2;
    const cases: Case[] = every.flatMap(({ name, encode, decode }) => [
      { name: `${name}.encode`, run: () => void encode() },
      { name: `${name}.decode`, run: () => void decode() },
    ]);
    for (const { name, us } of await timeCases('codecs', seconds, cases)) report.add('codecs', `codecs.${name}`, 1e6 / us, 'events/s');
    for (const { name, bytes } of every) report.add('codecs', `codecs.${name}.bytes`, bytes, 'bytes');
  },
};
