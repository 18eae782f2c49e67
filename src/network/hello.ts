/**
 * The two handshake messages of proto/peer.proto and their framing. Decides nothing: `verdict.ts` does.
 * Their code is made of the proto file by the build.
 */
import { LIMITS } from '../contracts/limits.js';
import { type MessageType, vexfs } from './peer-messages.js';

export interface Hello {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly protocolMin: number;
  readonly protocolMax: number;
  readonly channel: number;
  readonly incarnation: bigint;
  readonly directory: Uint8Array;
  readonly expectedNodeId: string;
  readonly features: readonly string[];
  /** Settings that must be equal on all members; empty is not compared. */
  readonly settings: string;
  /** Of the process; 0 is unknown. */
  readonly life: bigint;
  /** Where the dialler says that it can be dialled, unchecked; empty where it does not know. */
  readonly listen: string;
  /** Of the member table that the dialler knows; 0 where it has none. */
  readonly tableVersion: bigint;
  /** Others that the dialler knows how to dial, unchecked. */
  readonly neighbours: readonly Neighbour[];
}

export interface Neighbour {
  readonly nodeId: string;
  /** As `formatAddress` writes it. */
  readonly address: string;
}

export interface Answer {
  readonly accepted: boolean;
  /** 0 in a refusal. */
  readonly protocol: number;
  readonly nodeId: string;
  readonly clusterId: string;
  readonly incarnation: bigint;
  readonly directory: Uint8Array;
  /** Empty when accepted. */
  readonly code: string;
  readonly reason: string;
  readonly features: readonly string[];
  /** Of the process; 0 is unknown. */
  readonly life: bigint;
}

/** What came is not a handshake of ours; `answerable` says whether it is that of a member all the same, who is to be told. */
export class HandshakeError extends Error {
  readonly answerable: boolean;

  constructor(message: string, answerable: boolean) {
    super(message);
    this.name = 'HandshakeError';
    this.answerable = answerable;
  }
}

export const UNEQUAL = 'one side of the connection has security.tls and speaks TLS, the other one has not: give it to all members or to none';

/** What this version reads besides plain frames, as `features` of both messages say it: `packed.` and a compression; stubs of the causal lane. */
export const FEATURES: readonly string[] = ['packed.lz4', 'packed.zstd', 'packed.snappy', 'causal.stubs'];
const PACKED = 'packed.';
const STUBS = 'causal.stubs';

/** What the other side reads, as the core is told: the compressions among features, those that are not known here too, and stubs. */
export function readsOf(features: readonly string[]): string[] {
  const compressions = features.filter((feature) => feature.startsWith(PACKED)).map((feature) => feature.slice(PACKED.length));
  return features.includes(STUBS) ? [...compressions, 'stubs'] : compressions;
}

export const MAGIC = Buffer.from('VXP1', 'latin1');
const HEADER_BYTES = 8;
export const HANDSHAKE_BYTES_MAX = 4_096;
export const DIRECTORY_BYTES = 16;
const CLUSTER_ID_BYTES_MAX = 256;

const { Hello: HELLO, Answer: ANSWER } = vexfs.peer.v1;

export function encodeHello(hello: Hello): Buffer {
  return frame(HELLO, hello);
}

export function encodeAnswer(answer: Answer): Buffer {
  return frame(ANSWER, answer);
}

/** Throws HandshakeError for bytes that are not a Hello, or one whose fields cannot be meant. */
export function decodeHello(body: Uint8Array): Hello {
  const { tableVersion, ...rest } = decode<Omit<Hello, 'tableVersion'> & { tableVersion: string }>(HELLO, body);
  const hello = { ...rest, tableVersion: BigInt(tableVersion) };
  checkIdentity(hello);
  if (hello.channel > 1) throw new HandshakeError(`channel ${hello.channel} is neither 0 nor 1`, true);
  if (hello.protocolMin < 1 || hello.protocolMin > hello.protocolMax) {
    throw new HandshakeError(`${hello.protocolMin} to ${hello.protocolMax} is no range of versions`, true);
  }
  return hello;
}

/** Throws HandshakeError. A refusal needs no more than a code: whoever refuses may not know its own name yet. */
export function decodeAnswer(body: Uint8Array): Answer {
  const answer = decode<Answer>(ANSWER, body);
  if (answer.accepted) checkIdentity(answer);
  else if (answer.code === '') throw new HandshakeError('a refusal without a code', true);
  return answer;
}

/** Collects one handshake message from a stream; holds at most its 4,104 bytes, whatever comes. */
export class HandshakeReader {
  #held: Buffer = Buffer.alloc(0);

  get empty(): boolean {
    return this.#held.length === 0;
  }

  /** The message and what followed it in the same chunk, or null while it is incomplete. Throws HandshakeError. */
  push(chunk: Uint8Array): { body: Buffer; rest: Uint8Array } | null {
    const room = HEADER_BYTES + HANDSHAKE_BYTES_MAX;
    const before = this.#held.length;
    this.#held = Buffer.concat([this.#held, chunk.subarray(0, room - before)]);
    const start = Math.min(this.#held.length, MAGIC.length);
    if (MAGIC.compare(this.#held, 0, start, 0, start) !== 0) {
      // An answer in plain text is what shows a dialler over TLS that there is none.
      if (this.#beginsAsTls()) throw new HandshakeError(UNEQUAL, true);
      throw new HandshakeError('the connection does not begin with VXP1', false);
    }
    if (this.#held.length < HEADER_BYTES) return null;
    const length = this.#held.readUInt32LE(MAGIC.length);
    if (length > HANDSHAKE_BYTES_MAX) {
      throw new HandshakeError(`a handshake of ${length} bytes; at most ${HANDSHAKE_BYTES_MAX} are allowed`, true);
    }
    const end = HEADER_BYTES + length;
    if (this.#held.length < end) return null;
    return { body: this.#held.subarray(HEADER_BYTES, end), rest: chunk.subarray(end - before) };
  }

  /** A record of TLS with a handshake or an alert in it. */
  #beginsAsTls(): boolean {
    return (this.#held[0] === 0x16 || this.#held[0] === 0x15) && this.#held[1] === 3;
  }
}

function frame(type: MessageType, message: object): Buffer {
  // protobufjs takes 64-bit integers as text, not as bigint.
  const plain = Object.fromEntries(Object.entries(message).map(([name, value]) => [name, typeof value === 'bigint' ? value.toString() : value]));
  const body = type.encode(type.fromObject(plain)).finish();
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  MAGIC.copy(bytes);
  bytes.writeUInt32LE(body.length, MAGIC.length);
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

function decode<T extends { incarnation: bigint; life: bigint }>(type: MessageType, body: Uint8Array): T {
  try {
    const plain = type.toObject(type.decode(body), { longs: String, defaults: true, arrays: true }) as T & { incarnation: string; life: string };
    return { ...plain, incarnation: BigInt(plain.incarnation), life: BigInt(plain.life) };
  } catch (error) {
    throw new HandshakeError(`not a message of the handshake (${error instanceof Error ? error.message : String(error)})`, true);
  }
}

function checkIdentity(from: { clusterId: string; nodeId: string; directory: Uint8Array }): void {
  const nodeIdBytes = Buffer.byteLength(from.nodeId);
  if (nodeIdBytes < 1 || nodeIdBytes > LIMITS.nodeIdBytesMax) {
    throw new HandshakeError(`a node id of ${nodeIdBytes} bytes; 1 to ${LIMITS.nodeIdBytesMax} are allowed`, true);
  }
  const clusterIdBytes = Buffer.byteLength(from.clusterId);
  if (clusterIdBytes < 1 || clusterIdBytes > CLUSTER_ID_BYTES_MAX) {
    throw new HandshakeError(`a cluster id of ${clusterIdBytes} bytes; 1 to ${CLUSTER_ID_BYTES_MAX} are allowed`, true);
  }
  if (from.directory.length !== DIRECTORY_BYTES) {
    throw new HandshakeError(`a directory id of ${from.directory.length} bytes; it has ${DIRECTORY_BYTES}`, true);
  }
}
