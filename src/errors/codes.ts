import type { Committed } from '../contracts/coordinator.js';

/** Names of the gRPC statuses that errors travel as; the number is looked up at the API's edge. */
export type GrpcStatusName =
  | 'INVALID_ARGUMENT'
  | 'FAILED_PRECONDITION'
  | 'PERMISSION_DENIED'
  | 'UNAUTHENTICATED'
  | 'OUT_OF_RANGE'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'ABORTED'
  | 'CANCELLED'
  | 'DEADLINE_EXCEEDED'
  | 'RESOURCE_EXHAUSTED'
  | 'UNIMPLEMENTED'
  | 'UNAVAILABLE'
  | 'DATA_LOSS'
  | 'INTERNAL';

export interface ErrorCodeInfo {
  /** One sentence: what the code means wherever it appears. */
  readonly summary: string;
  readonly grpc: GrpcStatusName;
  /** Exit status of the command line: 1 a refused or failed operation, 2 bad usage or configuration. */
  readonly exit: 1 | 2;
  /** What is true of the event unless the error says otherwise. */
  readonly committed: Committed;
}

const refused = (summary: string, grpc: GrpcStatusName = 'INVALID_ARGUMENT'): ErrorCodeInfo => ({
  summary,
  grpc,
  exit: 1,
  committed: 'no',
});
const failed = (summary: string, grpc: GrpcStatusName, committed: Committed = 'no'): ErrorCodeInfo => ({
  summary,
  grpc,
  exit: 1,
  committed,
});
const usage = (summary: string, grpc: GrpcStatusName = 'INVALID_ARGUMENT'): ErrorCodeInfo => ({
  summary,
  grpc,
  exit: 2,
  committed: 'no',
});

/** Every code an error of this package can carry. docs/errors.md has a section for each; a test keeps the two in step. */
export const ERROR_CODES = {
  INVALID_EVENT: refused('A field of the event has the wrong type or a value outside its range.'),
  UNKNOWN_EVENT_TYPE: refused('The event type is neither in the catalogue nor registered in the configuration.'),
  EVENT_TYPE_RESERVED: refused('The event type is one that the coordinator itself writes.'),
  PAYLOAD_TOO_LARGE: refused('The payload is larger than 1 MiB.'),
  BATCH_TOO_LARGE: refused('The batch has more than 65,535 events or packs to more than 8 MiB.'),
  PATH_INVALID: refused('A path is not absolute, is longer than 4,096 bytes, or has a NUL or an unpaired surrogate.'),
  METADATA_TOO_LARGE: refused('Metadata or context is larger than 64 KiB as JSON.'),
  INVALID_EVENT_ID: refused('The event id is not a UUID.'),
  UNKNOWN_LEVEL: refused('The consistency level has no such name.'),
  UNKNOWN_PROTOCOL: refused('The configuration names no such protocol.'),
  LEVEL_UNAVAILABLE: refused('The consistency level exists, but this release or this cluster cannot serve it.', 'UNIMPLEMENTED'),
  CRITICAL_UNAVAILABLE: refused('Critical events need at least four validators.', 'FAILED_PRECONDITION'),
  GROUP_UNKNOWN: refused('The ordered group does not exist on this cluster.', 'NOT_FOUND'),
  TIMEOUT: failed('The operation did not finish in its time.', 'DEADLINE_EXCEEDED', 'unknown'),
  BACKPRESSURE: refused('A byte budget is full; the operation was refused before anything was sent.', 'RESOURCE_EXHAUSTED'),
  GROUP_QUOTA: refused('One ordered group has its share of what may wait already; the others go on.', 'RESOURCE_EXHAUSTED'),
  CLOSED: failed('The node, session or subscription is closed.', 'UNAVAILABLE'),
  ABORTED: failed('The caller aborted the operation.', 'CANCELLED', 'unknown'),
  SESSION_EXPIRED: refused('The session is no longer kept, so its retries could not be recognised.', 'FAILED_PRECONDITION'),
  EVENT_ID_REUSED: refused('An event with this id and other bytes was already accepted.', 'ALREADY_EXISTS'),
  EVENT_FENCED: refused('An outcome query has fenced this event id, so that it can never commit.', 'FAILED_PRECONDITION'),
  CONSUMER_FENCED: refused('Another process took over the named consumer with a newer fencing token.', 'ABORTED'),
  CURSOR_INVALID: refused('The cursor is damaged, of an unknown version or of another cluster.'),
  CURSOR_COMPACTED: refused('The place is before the beginning of the journal, which has let go of what was there.', 'OUT_OF_RANGE'),
  FILTER_INVALID: refused('A subscription filter cannot be read.'),
  CRDT_VALUE_INVALID: refused('A value, a key or an amount is none that a CRDT can hold.'),
  CRDT_STATE_INVALID: refused('The bytes are no CRDT state, or they are damaged or of an unknown version.'),
  CRDT_TYPE_MISMATCH: refused('The CRDT object is of another type than what was asked of it.', 'FAILED_PRECONDITION'),
  CRDT_LIMIT: refused('A CRDT object would grow over one of its limits.', 'OUT_OF_RANGE'),
  CLOCK_AHEAD: refused('A timestamp, or the clock of this node, is further ahead of others than clocks may differ.', 'FAILED_PRECONDITION'),
  COMPRESSION_DAMAGED: refused('The bytes were not packed as was said, or they are damaged.', 'DATA_LOSS'),
  COMPRESSION_TOO_LARGE: refused('More bytes would come out of packed ones than are allowed, or too many are to be packed.', 'OUT_OF_RANGE'),
  COMPRESSION_UNKNOWN: refused('There is no such compression.'),
  NOT_FOUND: refused('What was asked for does not exist.', 'NOT_FOUND'),
  NOT_LEADER: failed('This node does not lead the group and could not reach the leader in time.', 'UNAVAILABLE', 'unknown'),
  MEMBER_REMOVED: failed('This node was removed from its cluster.', 'FAILED_PRECONDITION'),
  MEMBER_INVALID: refused('The id or the address of a member cannot be used.'),
  MEMBER_EXISTS: refused('A member with this id exists.', 'ALREADY_EXISTS'),
  MEMBER_ID_USED: refused('The id was used before; ids are never used again.', 'ALREADY_EXISTS'),
  MEMBER_ID_COLLISION: refused("The id has the same hash as another member's.", 'ALREADY_EXISTS'),
  MEMBER_UNKNOWN: refused('No member has this id.', 'NOT_FOUND'),
  MEMBER_IS_VOTER: refused('The member is a voter already.', 'FAILED_PRECONDITION'),
  MEMBER_NOT_VOTER: refused('The member is not a voter, and only a voter can lead.', 'FAILED_PRECONDITION'),
  MEMBER_NOT_LEARNER: refused('The member is not a learner.', 'FAILED_PRECONDITION'),
  LAST_VOTER: refused('The last voter cannot be removed.', 'FAILED_PRECONDITION'),
  VOTERS_MAX: refused('There may be at most 7 voters.', 'FAILED_PRECONDITION'),
  MEMBERS_MAX: refused('There may be at most 64 members.', 'FAILED_PRECONDITION'),
  REPLICATION_INVALID: refused('The rules of replication cannot be meant.'),
  REPLICATION_UNSUPPORTED: refused('A member has not said that it knows of rules of replication.', 'FAILED_PRECONDITION'),
  NOT_HELD: failed('The node knows of the event and does not hold it, and nobody who does has given it in time.', 'UNAVAILABLE', 'yes'),
  CHANGE_PENDING: refused('The change of members before this one is not finished.', 'ABORTED'),
  LEARNER_LAGGING: refused('The learner has not caught up with the log.', 'FAILED_PRECONDITION'),
  MAJORITY_UNREACHABLE: refused('Of the voters that the change would leave no majority answers.', 'FAILED_PRECONDITION'),
  TRANSFER_FAILED: failed('Leadership did not get where it was to go in time.', 'DEADLINE_EXCEEDED'),
  SNAPSHOT_FAILED: failed('The snapshot could not be taken.', 'INTERNAL'),
  QUORUM_EXISTS: refused('A majority of the voters is there, or may be, so nothing is recovered.', 'FAILED_PRECONDITION'),
  CERTIFICATE_EXISTS: refused('A certificate or a key of this name exists, and none is written over.', 'ALREADY_EXISTS'),
  CERTIFICATE_INVALID: refused('The file has no certificate, or one that cannot be used for this.'),
  TOKEN_EXISTS: refused('A token of this name exists or existed, and names are not used again.', 'ALREADY_EXISTS'),
  TOKEN_INVALID: refused('What was given as a token is none.'),
  UNAUTHENTICATED: refused('The call has neither a certificate nor a token that is good here.', 'UNAUTHENTICATED'),
  PERMISSION_DENIED: refused('The certificate or the token of the caller does not allow the call.', 'PERMISSION_DENIED'),
  CONNECTIONS_MAX: refused('The API has as many connections as it may have, in all or of this caller.', 'RESOURCE_EXHAUSTED'),
  AUDIT_FAILED: failed('What an operator asked for could not be recorded, so that it was not done.', 'UNAVAILABLE'),
  CONFIG_INVALID: usage('The configuration has mistakes; each is listed in a sentence of its own.'),
  ADDRESS_REFUSED: usage('An address outside loopback needs TLS, or security.insecure to do without.', 'FAILED_PRECONDITION'),
  PORT_IN_USE: failed('Another process listens on the address.', 'FAILED_PRECONDITION'),
  DATA_DIR_IN_USE: failed('Another node has the data directory open.', 'FAILED_PRECONDITION'),
  DATA_DIR_MISMATCH: failed('The data directory belongs to another node or another cluster.', 'FAILED_PRECONDITION'),
  DATA_DIR_UNREADABLE: failed('The data directory or a file in it cannot be opened, created or understood.', 'FAILED_PRECONDITION'),
  LOG_DAMAGED: failed('The log is damaged where no torn write can explain it.', 'DATA_LOSS'),
  STATE_LOST: failed('The log goes on from a snapshot that cannot be read.', 'DATA_LOSS'),
  STATE_DIVERGED: failed('This node has applied something else than a majority of the group, and keeps out of it.', 'UNAVAILABLE'),
  DISK_FULL: failed('The disk has no room.', 'RESOURCE_EXHAUSTED'),
  SNAPSHOT_INVALID: refused('The file is no snapshot, or it is cut off or damaged.'),
  SNAPSHOT_WRONG_CLUSTER: refused('The snapshot is of another cluster.', 'FAILED_PRECONDITION'),
  DATA_DIR_NOT_EMPTY: refused('The data directory holds files already.', 'FAILED_PRECONDITION'),
  DISK_FAILED: failed('A write or fdatasync failed; the node has stopped, since nothing read back can be trusted.', 'UNAVAILABLE', 'unknown'),
  NODE_FAILED: failed('The node stopped after an internal failure.', 'UNAVAILABLE', 'unknown'),
  UNAVAILABLE: failed('No node could be reached, or the group has no quorum.', 'UNAVAILABLE', 'unknown'),
  QUORUM_LOST: failed('The group has no quorum, and such events are to fail then.', 'UNAVAILABLE'),
  TRACE_INVALID: refused('A trace file cannot be read as recorded activity.'),
  LINE_INVALID: refused('A line of the input cannot be used; the lines after it go on.'),
  STRACE_MISSING: refused('Recording a command needs strace, which is not installed.', 'FAILED_PRECONDITION'),
  VERIFY_FAILED: failed('Verification found journals that differ, or acknowledged events missing or doubled.', 'DATA_LOSS', 'unknown'),
  USAGE: usage('The command line cannot be understood.'),
  INTERNAL: failed('A fault in the coordinator itself; please report it.', 'INTERNAL', 'unknown'),
} as const satisfies Record<string, ErrorCodeInfo>;

export type ErrorCode = keyof typeof ERROR_CODES;

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code);
}
