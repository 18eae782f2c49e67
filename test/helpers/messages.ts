/** Every message of the .proto files with values in every field, made from the schema: a new message or field has its value at once. */
import protobuf from 'protobufjs';

export interface Sample {
  readonly name: string;
  readonly type: protobuf.Type;
  readonly value: Record<string, unknown>;
}

const NESTED_DEPTH_MAX = 4;

/** All message types of a file, those within others too. */
export function typesOf(file: string): protobuf.Type[] {
  const root = protobuf.loadSync(file);
  root.resolveAll();
  const found: protobuf.Type[] = [];
  const visit = (at: protobuf.NamespaceBase): void => {
    if (at instanceof protobuf.Type) found.push(at);
    for (const one of at.nestedArray) if (one instanceof protobuf.Namespace) visit(one);
  };
  visit(root);
  return found.sort((one, other) => (one.fullName < other.fullName ? -1 : 1));
}

/** One without a value, and one for each field of a choice; of the others all fields are there. */
export function samplesOf(type: protobuf.Type): Sample[] {
  const choices = type.oneofsArray.filter(({ oneof }) => oneof.length > 1);
  const ways = Math.max(1, ...choices.map(({ oneof }) => oneof.length));
  const name = type.fullName.slice(1);
  return [
    { name: `${name} empty`, type, value: {} },
    ...Array.from({ length: type.fieldsArray.length === 0 ? 0 : ways }, (_, way) => ({ name: ways === 1 ? `${name} full` : `${name} full ${way + 1}`, type, value: messageOf(type, way, 0) })),
  ];
}

function messageOf(type: protobuf.Type, way: number, depth: number): Record<string, unknown> {
  const made: Record<string, unknown> = {};
  for (const field of type.fieldsArray) {
    const choice = field.partOf?.oneof ?? [];
    if (choice.length > 1 && choice[way % choice.length] !== field.name) continue;
    if (field.resolvedType instanceof protobuf.Type && depth >= NESTED_DEPTH_MAX) continue;
    const one = (at: number): unknown => oneOf(field, way, depth, at);
    made[field.name] = field.map ? { first: one(0), second: one(1) } : field.repeated ? [one(0), one(1)] : one(0);
  }
  return made;
}

function oneOf({ type, resolvedType, id, name }: protobuf.Field, way: number, depth: number, at: number): unknown {
  if (resolvedType instanceof protobuf.Type) return messageOf(resolvedType, way, depth + 1);
  if (resolvedType instanceof protobuf.Enum) return Object.keys(resolvedType.values)[1];
  switch (type) {
    case 'string':
      return `${name} ${at} é`;
    case 'bytes':
      return Buffer.from([0, 0xff, id, at]);
    case 'bool':
      return true;
    case 'double':
      return id + at + 0.5;
    case 'uint32':
      return at === 0 ? 0xffff_ffff - id : id;
    case 'uint64':
    case 'fixed64':
      // Beyond what a double holds, and within.
      return at === 0 && id % 2 === 1 ? String(0xffff_ffff_ffff_ffffn - BigInt(id)) : String(1_000 + id);
    default:
      throw new Error(`no value for ${type} yet`);
  }
}
