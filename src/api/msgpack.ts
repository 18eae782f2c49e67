/**
 * Messages of proto/coordinator.proto as MessagePack: maps of the names that the fields have in JSON. What comes is held against the schema and
 * becomes what proto-loader would have made of the same message, so that handlers need not know which of the two it was.
 */
import { Packr } from 'msgpackr';
import protobuf from 'protobufjs';
import { checkStructure, MsgpackError } from './msgpack-structure.js';

type Plain = Record<string, unknown>;

/** A value of a field, in either direction; `what` is how a sentence names the field. */
interface Kind {
  /** From what handlers and clients have. */
  write(value: unknown): unknown;
  /** From what was unpacked. Throws MsgpackError. */
  read(value: unknown, what: string): unknown;
  /** What an absent one is; undefined where it stays absent. */
  readonly absent: unknown;
}

interface Field {
  readonly name: string;
  readonly of: Kind;
  readonly form: 'one' | 'list' | 'map';
  /** The choice that it is one of, where an absent one is another thing than its default; each optional field is a choice by itself. */
  readonly choice: string | null;
}

const packr = new Packr({ useRecords: false, mapsAsObjects: true, int64AsType: 'bigint', variableMapSize: true, encodeUndefinedAsNil: true });
const U32_MAX = 0xffff_ffff;
const U64_MAX = 0xffff_ffff_ffff_ffffn;

const same = (value: unknown): unknown => value;

const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array;

const SCALARS: Readonly<Record<string, Kind>> = {
  string: { write: same, absent: '', read: (value, what) => (typeof value === 'string' ? value : refuse(what, 'text')) },
  bool: { write: same, absent: false, read: (value, what) => (typeof value === 'boolean' ? value : refuse(what, 'true or false')) },
  double: { write: same, absent: 0, read: (value, what) => (typeof value === 'number' ? value : typeof value === 'bigint' ? Number(value) : refuse(what, 'a number')) },
  bytes: {
    write: (value) => (isBytes(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value),
    absent: Buffer.alloc(0),
    read: (value, what) => (isBytes(value) ? value : refuse(what, 'bytes')),
  },
  uint32: {
    write: same,
    absent: 0,
    read: (value, what) => (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= U32_MAX ? value : refuse(what, 'a whole number of 32 bits')),
  },
  // Text on our side, as proto-loader has them; numbers on the wire.
  uint64: {
    write: (value) => {
      const whole = BigInt(value as string | number | bigint);
      return whole <= Number.MAX_SAFE_INTEGER ? Number(whole) : whole;
    },
    absent: '0',
    read: (value, what) => {
      if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return String(value);
      return typeof value === 'bigint' && value >= 0n && value <= U64_MAX ? String(value) : refuse(what, 'a whole number of 64 bits');
    },
  },
};

function refuse(what: string, wanted: string): never {
  throw new MsgpackError(`${what} is not ${wanted}`);
}

/** One message type. */
export class MessageCodec implements Kind {
  readonly absent = null;
  readonly #type: protobuf.Type;
  /** Made at first use, since types may hold each other. */
  #fields: readonly Field[] | null = null;

  private constructor(type: protobuf.Type) {
    this.#type = type;
  }

  static readonly #codecs = new WeakMap<protobuf.Type, MessageCodec>();

  static of(type: protobuf.Type): MessageCodec {
    const codec = MessageCodec.#codecs.get(type) ?? new MessageCodec(type);
    MessageCodec.#codecs.set(type, codec);
    return codec;
  }

  encode(message: object): Buffer {
    // The library goes on writing in the memory that it has handed out.
    return Buffer.from(packr.pack(this.write(message)));
  }

  /** Throws MsgpackError for what is no message of this type. */
  decode(bytes: Buffer): object {
    checkStructure(bytes);
    return this.read(packr.unpack(bytes), 'the message');
  }

  write(message: unknown): Plain {
    const from = message as Plain;
    const made: Plain = {};
    for (const field of this.#all()) {
      const value = from[field.name];
      if (value === undefined || value === null) continue;
      const written = writeField(field, value);
      if (written !== undefined) made[field.name] = written;
    }
    return made;
  }

  read(value: unknown, what: string): Plain {
    if (!isPlain(value)) return refuse(what, 'a map');
    const made: Plain = {};
    for (const field of this.#all()) {
      const given = Object.hasOwn(value, field.name) ? value[field.name] : undefined;
      if (given === undefined || given === null) {
        if (field.choice === null) made[field.name] = absentOf(field);
        continue;
      }
      made[field.name] = readField(field, given, what === 'the message' ? field.name : `${what}.${field.name}`);
      if (field.choice === null) continue;
      if (made[field.choice] !== undefined) throw new MsgpackError(`${what} has both ${String(made[field.choice])} and ${field.name}`);
      made[field.choice] = field.name;
    }
    return made;
  }

  #all(): readonly Field[] {
    this.#fields ??= this.#type.fieldsArray.map((field) => {
      const { name } = field.resolve();
      return { name, of: kindOf(field), form: field.map ? 'map' : field.repeated ? 'list' : 'one', choice: field.partOf?.name ?? null };
    });
    return this.#fields;
  }
}

function kindOf({ type, resolvedType, fullName }: protobuf.Field): Kind {
  if (resolvedType instanceof protobuf.Type) return MessageCodec.of(resolvedType);
  if (resolvedType instanceof protobuf.Enum) return enumOf(resolvedType);
  const scalar = SCALARS[type];
  if (scalar === undefined) throw new Error(`${fullName} has the type ${type}, which has no form in MessagePack yet`);
  return scalar;
}

/** By name. A number that has none stays one, as in protobuf. */
function enumOf({ valuesById }: protobuf.Enum): Kind {
  const nameOf = (value: unknown): unknown => (typeof value === 'number' ? (valuesById[value] ?? value) : value);
  return {
    write: nameOf,
    absent: valuesById[0],
    read: (value, what) => (typeof value === 'string' || (typeof value === 'number' && Number.isInteger(value)) ? nameOf(value) : refuse(what, 'a name')),
  };
}

function writeField({ of, form, choice }: Field, value: unknown): unknown {
  if (form === 'list') {
    const list = value as unknown[];
    return list.length === 0 ? undefined : list.map((one) => of.write(one));
  }
  if (form === 'map') {
    const pairs = Object.entries(value as Plain);
    return pairs.length === 0 ? undefined : Object.fromEntries(pairs.map(([key, one]) => [key, of.write(one)]));
  }
  const written = of.write(value);
  const isDefault = choice === null && (written === of.absent || written === 0 || (isBytes(written) && written.length === 0));
  return isDefault ? undefined : written;
}

function readField({ of, form }: Field, value: unknown, what: string): unknown {
  if (form === 'one') return of.read(value, what);
  if (form === 'list') return Array.isArray(value) ? value.map((one, at) => of.read(one, `${what}[${at}]`)) : refuse(what, 'a list');
  if (!isPlain(value)) return refuse(what, 'a map');
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, of.read(one, `${what}[${JSON.stringify(key)}]`)]));
}

function absentOf({ of, form }: Field): unknown {
  return form === 'one' ? of.absent : form === 'list' ? [] : {};
}

function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isBytes(value);
}
