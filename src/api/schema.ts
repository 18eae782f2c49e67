import { fileURLToPath } from 'node:url';
import type { MethodDefinition } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import protobuf from 'protobufjs';
import { LIMITS } from '../contracts/index.js';
import { MessageCodec } from './msgpack.js';

/** What messages of the API are written in, for the client to choose. */
export const API_CODECS = ['protobuf', 'msgpack'] as const;
export type ApiCodec = (typeof API_CODECS)[number];

export const SERVICE_NAME = 'vexfs.coordinator.v1.Coordinator';
export const SERVICE_NAMES: Readonly<Record<ApiCodec, string>> = { protobuf: SERVICE_NAME, msgpack: 'vexfs.coordinator.v1.CoordinatorMsgpack' };

const PROTO = fileURLToPath(new URL('../../proto/coordinator.proto', import.meta.url));

export const METHODS = [
  'Publish',
  'PublishBatch',
  'PublishStream',
  'Subscribe',
  'Read',
  'ReadBarrier',
  'Outcome',
  'Status',
  'Relation',
  'RelatedEvents',
  'ListMembers',
  'ChangeMembers',
  'TransferLeadership',
  'Replication',
  'SetReplication',
  'SaveSnapshot',
] as const;
export type MethodName = (typeof METHODS)[number];

/** Largest message either side takes: the largest batch, and room for what protobuf and 65,535 receipts add. */
export const MESSAGE_BYTES_MAX = LIMITS.batchBytesMax + 24 * 1024 * 1024;

/** Takes the place of a request whose bytes are no message of its type, so that the handler can refuse it with a typed error. */
export class Malformed {
  constructor(readonly reason: string) {}
}

let loaded: PackageDefinition | null = null;

/** The package of proto/coordinator.proto, read once per process. */
export function packageDefinition(): PackageDefinition {
  loaded ??= loadSync(PROTO, { longs: String, enums: String, defaults: true, arrays: true, objects: true, oneofs: true });
  return loaded;
}

const definitions = new Map<ApiCodec, ServiceDefinition>();

function definition(codec: ApiCodec): ServiceDefinition {
  const made = definitions.get(codec) ?? (codec === 'msgpack' ? asMsgpack() : (packageDefinition()[SERVICE_NAME] as ServiceDefinition));
  definitions.set(codec, made);
  return made;
}

/** The same methods under another service's name: what a message is written in depends on nothing but the path of its call. */
function asMsgpack(): ServiceDefinition {
  const { methods } = protobuf.loadSync(PROTO).lookupService(SERVICE_NAME);
  return Object.fromEntries(
    Object.entries(definition('protobuf')).map(([name, method]) => {
      const { resolvedRequestType, resolvedResponseType } = methods[name]!.resolve() as protobuf.Method;
      const [request, response] = [MessageCodec.of(resolvedRequestType!), MessageCodec.of(resolvedResponseType!)];
      return [
        name,
        {
          ...method,
          path: `/${SERVICE_NAMES.msgpack}/${name}`,
          requestSerialize: (message: object) => request.encode(message),
          requestDeserialize: (bytes: Buffer) => request.decode(bytes),
          responseSerialize: (message: object) => response.encode(message),
          responseDeserialize: (bytes: Buffer) => response.decode(bytes),
        },
      ];
    }),
  );
}

/** A method as a client calls it. */
export function clientMethod<Q, R>(name: MethodName, codec: ApiCodec = 'protobuf'): MethodDefinition<Q, R> {
  const method = definition(codec)[name];
  if (method === undefined) throw new Error(`the service has no method ${name}`);
  return method as unknown as MethodDefinition<Q, R>;
}

/** The service as a server registers it: requests that cannot be decoded arrive as `Malformed`. */
export function serverDefinition(codec: ApiCodec): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(definition(codec)).map(([name, method]) => [
      name,
      {
        ...method,
        requestDeserialize(bytes: Buffer): object {
          try {
            return method.requestDeserialize(bytes);
          } catch (error) {
            return new Malformed(error instanceof Error ? error.message : String(error));
          }
        },
      },
    ]),
  );
}
