/**
 * The bytes of every message, in every codec that it is written in. A change of them is a change of the wire: where it is meant,
 * `UPDATE_GOLDEN=1 npx ava test/messages.test.ts` writes them anew, for review. A message that has no bytes there fails.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import test from 'ava';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { MessageCodec } from '../dist/api/msgpack.js';
import { checkStructure, MsgpackError } from '../dist/api/msgpack-structure.js';
import { clientMethod, METHODS, serverDefinition } from '../dist/api/schema.js';
import { type Sample, samplesOf, typesOf } from './helpers/messages.js';

const API = typesOf('proto/coordinator.proto');
const PEER = typesOf('proto/peer.proto');

interface Codec {
  encode(sample: Sample): Uint8Array;
  decode(type: protobuf.Type, bytes: Buffer): object;
}

/** As proto-loader is asked for them. */
const READ: protobuf.IConversionOptions = { longs: String, enums: String, defaults: true, arrays: true, objects: true, oneofs: true };

/** The code that the build has made, of what members say to each other; it has no types of its own. */
const { vexfs } = (await import(new URL('../dist/network/peer-messages.js', import.meta.url).href)) as { vexfs: { peer: { v1: Record<string, protobuf.Type> } } };
const made = ({ name }: protobuf.Type): protobuf.Type => vexfs.peer.v1[name]!;

const CODECS: Record<'protobuf' | 'static' | 'msgpack', Codec> = {
  protobuf: {
    encode: ({ type, value }) => type.encode(type.fromObject(value)).finish(),
    decode: (type, bytes) => type.toObject(type.decode(bytes), READ),
  },
  static: {
    encode: ({ type, value }) => made(type).encode(made(type).fromObject(value)).finish(),
    decode: (type, bytes) => made(type).toObject(made(type).decode(bytes), READ),
  },
  msgpack: {
    encode: ({ type, value }) => MessageCodec.of(type).encode(value),
    decode: (type, bytes) => MessageCodec.of(type).decode(bytes),
  },
};

/** Messages between members are written in Protocol Buffers alone. */
const FILES = [
  { file: 'test/golden/messages-protobuf.txt', codec: CODECS.protobuf, types: API },
  { file: 'test/golden/messages-peer.txt', codec: CODECS.static, types: PEER },
  { file: 'test/golden/messages-msgpack.txt', codec: CODECS.msgpack, types: API },
] as const;

function goldenOf(file: string): Map<string, Buffer> {
  const lines = readFileSync(file, 'utf8').split('\n').filter((line) => line !== '');
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(':')), Buffer.from(line.slice(line.lastIndexOf(':') + 2), 'hex')]));
}

/** Bytes compare as bytes, whatever holds them. Names of the choice that an optional field is by itself, which only some readers give, are left out. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).flatMap(([name, one]) => (name.startsWith('_') ? [] : [[name, plain(one)]])));
}

for (const { file, codec, types } of FILES) {
  test(`${file}: every message is written as it was, and what was written is read`, (t) => {
    const samples = types.flatMap(samplesOf);
    const written = samples.map((sample) => `${sample.name}: ${Buffer.from(codec.encode(sample)).toString('hex')}\n`).join('');
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, written);
    t.is(written, readFileSync(file, 'utf8'));
    const golden = goldenOf(file);
    t.deepEqual([...golden.keys()], samples.map(({ name }) => name), 'a message has no bytes, or bytes have no message');
    for (const sample of samples) {
      const read = codec.decode(sample.type, golden.get(sample.name)!);
      t.deepEqual(plain(read), plain(sample.type.toObject(sample.type.fromObject(sample.value), READ)), sample.name);
    }
  });
}

test('both codecs read the same of every message, as the API’s handlers and clients get it', (t) => {
  const [proto, packed] = [goldenOf('test/golden/messages-protobuf.txt'), goldenOf('test/golden/messages-msgpack.txt')];
  let compared = 0;
  for (const name of METHODS) {
    const [one, other] = [clientMethod<object, object>(name, 'protobuf'), clientMethod<object, object>(name, 'msgpack')];
    t.like(other, { requestStream: one.requestStream, responseStream: one.responseStream, path: one.path.replace('.Coordinator/', '.CoordinatorMsgpack/') });
    const { resolvedRequestType, resolvedResponseType } = protobuf.loadSync('proto/coordinator.proto').lookupService('vexfs.coordinator.v1.Coordinator').methods[name]!.resolve() as protobuf.Method;
    for (const sample of samplesOf(resolvedRequestType!)) {
      const [bytes, alike] = [proto.get(sample.name)!, packed.get(sample.name)!];
      t.deepEqual(plain(serverDefinition('msgpack')[name]!.requestDeserialize(alike)), plain(serverDefinition('protobuf')[name]!.requestDeserialize(bytes)), sample.name);
      t.is(other.requestSerialize(one.requestDeserialize(bytes)).toString('hex'), alike.toString('hex'), 'what was read is written as it was');
      compared += 1;
    }
    for (const sample of samplesOf(resolvedResponseType!)) {
      t.deepEqual(plain(other.responseDeserialize(packed.get(sample.name)!)), plain(one.responseDeserialize(proto.get(sample.name)!)), sample.name);
      compared += 1;
    }
  }
  t.true(compared > 2 * METHODS.length);
});

const event = API.find(({ name }) => name === 'PublishRequest')!;
const [, full] = samplesOf(event);
const whole = MessageCodec.of(event).encode(full!.value);

test('what is no MessagePack of a message is refused with a reason, whatever it is', (t) => {
  const codec = MessageCodec.of(event);
  const refused = (bytes: readonly number[] | Buffer, why: RegExp): void => {
    t.throws(() => codec.decode(Buffer.from(bytes)), { instanceOf: MsgpackError, message: why });
  };
  refused([], /announces more|ends early/);
  refused([0x90], /the message is not a map/);
  refused([0xc0], /the message is not a map/);
  refused([0x80, 0x80], /1 bytes follow its end/);
  refused([0xdd, 0xff, 0xff, 0xff, 0xff], /announces more than it has/);
  refused([0xdf, 0x00, 0xff, 0xff, 0xff], /announces more than it has/);
  refused(Buffer.concat([Buffer.alloc(40, 0x91), Buffer.of(0xc0)]), /deeper than 32 levels/);
  refused([0xc1], /0xc1, which no message has/);
  for (const key of [[0x80], [0x90], [0x00], [0xff], [0xc0], [0xcf, 0, 0, 0, 0, 0, 0, 0, 1], [0xc4, 1, 0x78]]) {
    refused([0x81, ...key, 0x05], /keys are text/);
    refused([0x82, 0xa1, 0x78, 0x81, 0xa1, 0x79, 0x05, ...key, 0x05], /keys are text/);
  }
  // Extensions of the library: a record, a reference, a date.
  for (const extension of [[0xd4, 0x72, 0x40], [0xd6, 0x70, 0, 0, 0, 1], [0xd6, 0xff, 0, 0, 0, 0], [0xc7, 1, 0x73, 0x90]]) refused([0x81, 0xa5, ...Buffer.from('event'), ...extension], /which no message has/);
  const field = (value: object): Buffer => MessageCodec.of(event).encode({ event: value });
  const text = (bytes: Buffer, from: string, to: readonly number[]): Buffer => {
    const at = bytes.indexOf(from, 0, 'latin1');
    return Buffer.concat([bytes.subarray(0, at), Buffer.from(to), bytes.subarray(at + from.length)]);
  };
  refused(text(field({ path: 'abc' }), '\xa3abc', [0x05]), /event\.path is not text/);
  refused(text(field({ priority: 7 }), '\x07', [0xff]), /event\.priority is not a whole number of 32 bits/);
  refused(text(field({ priority: 7 }), '\x07', [0xcf, 0, 0, 0, 1, 0, 0, 0, 0]), /event\.priority is not a whole number of 32 bits/);
  refused(text(field({ sourceId: '7' }), '\x07', [0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]), /event\.sourceId is not a whole number of 64 bits/);
  refused(text(field({ payload: Buffer.from('abc') }), '\xc4\x03abc', [0xa3, 0x61, 0x62, 0x63]), /event\.payload is not bytes/);
  refused(text(text(field({ name: 'x', path: 'y' }), '\xa4path', [0xa4, ...Buffer.from('code')]), '\xa1y', [0x05]), /event has both name and code/);
  refused([0x81, 0xa5, ...Buffer.from('event'), 0x05], /event is not a map/);
  t.deepEqual(plain(codec.decode(Buffer.from([0x81, 0xa1, 0x78, 0x05]))), plain(codec.decode(Buffer.from([0x80]))), 'a field that is not known is passed over');
  t.deepEqual(Object.keys(codec.decode(Buffer.from([0x81, 0xa9, ...Buffer.from('__proto__'), 0x81, 0xa1, 0x78, 0x05]))), Object.keys(codec.decode(Buffer.from([0x80]))));
});

test('every cut and every flipped bit of a message is read or refused, and nothing else', (t) => {
  const codec = MessageCodec.of(event);
  const isRead = (bytes: Buffer): boolean => {
    try {
      codec.decode(bytes);
      return true;
    } catch (error) {
      if (!(error instanceof MsgpackError)) throw error;
      return false;
    }
  };
  for (let length = 0; length < whole.length; length++) t.false(isRead(whole.subarray(0, length)), `${length} bytes`);
  for (let bit = 0; bit < 8 * whole.length; bit++) {
    const other = Buffer.from(whole);
    other[bit >> 3]! ^= 1 << (bit & 7);
    t.notThrows(() => isRead(other), `bit ${bit}`);
  }
});

test('bytes of chance are looked through in a time and memory of their length', (t) => {
  const codec = MessageCodec.of(event);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        checkStructure(Buffer.from(bytes));
      } catch (error) {
        return error instanceof MsgpackError;
      }
      try {
        codec.decode(Buffer.from(bytes));
        return true;
      } catch (error) {
        return error instanceof MsgpackError;
      }
    }),
    { numRuns: 20_000 },
  );
  t.pass();
});

test('bytes of an event pass untouched, also where the sender’s memory is another’s by then', (t) => {
  const codec = MessageCodec.of(event);
  const payload = Buffer.from(Array.from({ length: 256 }, (_, at) => at));
  const memory = Buffer.concat([Buffer.alloc(3), payload, Buffer.alloc(3)]);
  const first = codec.encode({ event: { payload: new Uint8Array(memory.buffer, memory.byteOffset + 3, 256) } });
  codec.encode({ event: { payload: Buffer.alloc(256, 7) } });
  memory.fill(9);
  t.true(first.includes(payload));
  const { event: read } = codec.decode(first) as { event: { payload: Uint8Array } };
  t.deepEqual(Buffer.from(read.payload), payload);
});
