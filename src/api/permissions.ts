/** Which calls a certificate or a token allows, by the role that stands in it. */
import type { CertificateRole } from '../config/index.js';
import { type MethodName, SERVICE_NAMES } from './schema.js';

const EVERYBODY = ['reader', 'publisher', 'operator', 'node'] as const satisfies readonly CertificateRole[];
const PUBLISHERS = ['publisher', 'operator'] as const satisfies readonly CertificateRole[];
const OPERATORS = ['operator'] as const satisfies readonly CertificateRole[];

const ALLOWED: Record<MethodName, readonly CertificateRole[]> = {
  Publish: PUBLISHERS,
  PublishBatch: PUBLISHERS,
  PublishStream: PUBLISHERS,
  Subscribe: EVERYBODY,
  Read: EVERYBODY,
  ReadBarrier: EVERYBODY,
  // Who asks what became of an event may fence its id.
  Outcome: PUBLISHERS,
  Status: EVERYBODY,
  Relation: EVERYBODY,
  RelatedEvents: EVERYBODY,
  ListMembers: EVERYBODY,
  ChangeMembers: OPERATORS,
  TransferLeadership: OPERATORS,
  Replication: EVERYBODY,
  SetReplication: OPERATORS,
  SaveSnapshot: OPERATORS,
};

/** Services beside our own, for everybody with a certificate or a token. */
const OPEN_SERVICES: readonly string[] = ['grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'];

const OWN_SERVICES: readonly string[] = Object.values(SERVICE_NAMES);

/** The roles that may call `path`, `/SERVICE/METHOD`: nobody may call what is not named here. */
export function rolesFor(path: string): readonly CertificateRole[] {
  const [, service = '', method = ''] = path.split('/');
  if (OPEN_SERVICES.includes(service)) return EVERYBODY;
  return OWN_SERVICES.includes(service) && Object.hasOwn(ALLOWED, method) ? ALLOWED[method as MethodName] : [];
}

/** Calls that only operators may make, and that are recorded. */
export function isForOperators(path: string): boolean {
  return rolesFor(path) === OPERATORS;
}
