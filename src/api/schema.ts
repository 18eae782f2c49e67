import { fileURLToPath } from 'node:url';
import type { MethodDefinition } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import { LIMITS } from '../contracts/index.js';

export const SERVICE_NAME = 'vexfs.coordinator.v1.Coordinator';

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
  loaded ??= loadSync(fileURLToPath(new URL('../../proto/coordinator.proto', import.meta.url)), {
    longs: String,
    enums: String,
    defaults: true,
    arrays: true,
    objects: true,
    oneofs: true,
  });
  return loaded;
}

function definition(): ServiceDefinition {
  return packageDefinition()[SERVICE_NAME] as ServiceDefinition;
}

/** A method as a client calls it. */
export function clientMethod<Q, R>(name: MethodName): MethodDefinition<Q, R> {
  const method = definition()[name];
  if (method === undefined) throw new Error(`the service has no method ${name}`);
  return method as unknown as MethodDefinition<Q, R>;
}

/** The service as a server registers it: requests that cannot be decoded arrive as `Malformed`. */
export function serverDefinition(): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(definition()).map(([name, method]) => [
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
