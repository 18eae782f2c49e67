import assert from 'node:assert/strict';
import { type Answer, decodeAnswer, decodeHello, encodeAnswer, encodeHello, HANDSHAKE_BYTES_MAX, type Hello, HandshakeError, HandshakeReader, MAGIC } from '../../../dist/network/hello.js';
import { canonicalSerial, holderOfNames } from '../../../dist/network/certificate.js';
import type { Target } from '../target.js';

const HELLO: Hello = {
  clusterId: 'c',
  nodeId: 'b',
  protocolMin: 1,
  protocolMax: 1,
  channel: 0,
  incarnation: 3n,
  directory: new Uint8Array(16).fill(7),
  expectedNodeId: 'a',
  features: ['packed.lz4'],
  settings: 'groups=1',
  life: 2n ** 64n - 1n,
  listen: '127.0.0.1:7400',
  tableVersion: 2n,
  neighbours: [{ nodeId: 'd', address: '[::1]:7400' }],
};
const ANSWER: Answer = { accepted: true, protocol: 1, nodeId: 'a', clusterId: 'c', incarnation: 1n, directory: new Uint8Array(16), code: '', reason: '', features: [], life: 5n };

type Read = { body: Buffer; rest: Uint8Array } | { error: string } | null;

/** What comes of a stream in pieces of a size, and all bytes that the reader gave back. */
function read(bytes: Uint8Array, size: number): Read {
  const reader = new HandshakeReader();
  try {
    for (let at = 0; at < bytes.length; at += size) {
      const message = reader.push(bytes.subarray(at, at + size));
      if (message !== null) return { body: message.body, rest: Buffer.concat([message.rest, bytes.subarray(at + size)]) };
    }
  } catch (error) {
    if (!(error instanceof HandshakeError)) throw error;
    return { error: error.message };
  }
  return null;
}

function again<T extends object>(decode: (body: Uint8Array) => T, encode: (message: T) => Buffer, body: Uint8Array): void {
  let message: T;
  try {
    message = decode(body);
  } catch (error) {
    if (!(error instanceof HandshakeError)) throw error;
    return;
  }
  assert.deepEqual(decode(encode(message).subarray(8)), message, 'what was read is what would be said');
}

export const hello: Target = {
  name: 'hello',
  reads: 'the handshake between members',
  bytesMax: HANDSHAKE_BYTES_MAX + 64,
  words: ['VXP1', '\x16\x03\x01', '\x01\x00\x00\x00', '\x12\x01b', '\x0a\x01c', '127.0.0.1:7400', 'packed.zstd', '\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01'],
  seeds: () => [encodeHello(HELLO), encodeAnswer(ANSWER), encodeAnswer({ ...ANSWER, accepted: false, code: 'NODE_MISMATCH', reason: 'another' }), Buffer.concat([encodeHello({ ...HELLO, neighbours: [] }), Buffer.from('more')]), MAGIC],
  run(bytes) {
    const whole = read(bytes, bytes.length || 1);
    for (const size of [1, 3, 8, 100]) {
      const pieces = read(bytes, size);
      // An error may be seen sooner, where less is there; what is read is the same.
      if (whole === null || 'body' in whole) assert.deepEqual(pieces, whole, `in pieces of ${size}`);
      else assert.ok(pieces !== null && 'error' in pieces);
    }
    if (whole !== null && 'body' in whole) {
      assert.ok(whole.body.length <= HANDSHAKE_BYTES_MAX);
      assert.equal(8 + whole.body.length + whole.rest.length, bytes.length, 'no byte is lost');
    }
    const body = whole !== null && 'body' in whole ? whole.body : bytes;
    again(decodeHello, encodeHello, body);
    again(decodeAnswer, encodeAnswer, body);
    // What else a stranger shows before anything is believed.
    const names = Buffer.from(body).toString('latin1');
    const holder = holderOfNames(names);
    assert.ok(holder === null || names.includes(`vexfs://${holder.clusterId}/${holder.role}/${holder.name}`));
    assert.equal(canonicalSerial(canonicalSerial(names)), canonicalSerial(names));
  },
};
