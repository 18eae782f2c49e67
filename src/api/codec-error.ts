import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import type { Committed } from '../contracts/index.js';
import { CoordinatorError, ERROR_CODES, type ErrorCode, isErrorCode } from '../errors/index.js';

const CODE_KEY = 'vexfs-code';
const COMMITTED_KEY = 'vexfs-committed';
const DETAILS_KEY = 'vexfs-details-bin';
const DETAILS_BYTES_MAX = 2000;
/** Status messages travel in a header block, which has little room. */
const MESSAGE_CHARACTERS_MAX = 1000;

/** What grpc-js wants a handler to fail with. */
export interface CallStatus extends Error {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

export function toStatus(thrown: unknown): CallStatus {
  const error = CoordinatorError.from(thrown);
  const metadata = new Metadata();
  metadata.set(CODE_KEY, error.code);
  metadata.set(COMMITTED_KEY, error.committed);
  const data = error.details === undefined ? null : Buffer.from(JSON.stringify(error.details), 'utf8');
  if (data !== null && data.length <= DETAILS_BYTES_MAX) metadata.set(DETAILS_KEY, data);
  const details = error.message.slice(0, MESSAGE_CHARACTERS_MAX);
  return Object.assign(new Error(details), { code: status[ERROR_CODES[error.code].grpc], details, metadata });
}

/** As gRPC says of a call that found no connection. */
const NEVER_SENT = /^No connection established/;
/** Somebody took the connection and closed it before it could be used, as a node with TLS does with what is plain, and with a certificate that it does not believe. */
const CLOSED_EARLY = /Last error: (?:Failed to connect|.*ECONNRESET|.*socket hang up|.*disconnected before secure TLS)/;
const NOT_TLS = /wrong version number/;

/** What a client makes of a failed call: the server's own error where it sent one, else what the gRPC status means. */
export function fromStatus(thrown: unknown): CoordinatorError {
  if (thrown instanceof CoordinatorError) return thrown;
  const failure = thrown as Partial<ServiceError>;
  const message = failure.details || failure.message || String(thrown);
  const code = failure.metadata?.get(CODE_KEY)[0];
  if (typeof code === 'string') {
    const committed = failure.metadata?.get(COMMITTED_KEY)[0];
    return errorOf(code, message, committed === 'yes' || committed === 'no' ? committed : 'unknown', detailsOf(failure.metadata?.get(DETAILS_KEY)[0]));
  }
  return new CoordinatorError(codeOfStatus(failure), hinted(message), { cause: thrown, committed: NEVER_SENT.test(message) ? 'no' : 'unknown' });
}

/** The library's sentence, or one of ours where it does not say what to do. */
function hinted(message: string): string {
  if (!NEVER_SENT.test(message)) return message;
  if (NOT_TLS.test(message)) return 'the node speaks no TLS, and certificates were given for it: leave out --tls-ca, --tls-cert and --tls-key, or give the node security.tls';
  if (CLOSED_EARLY.test(message)) {
    return 'the node closed the connection before anything was asked: if it has security.tls, --tls-ca, --tls-cert and --tls-key have to name a certificate of its cluster that is good now, or --tls-ca and --token-file a token where it takes tokens';
  }
  return message;
}

/** An error read from the wire. A code of a newer release keeps its name in the message. */
export function errorOf(code: string, message: string, committed: Committed, details?: Record<string, unknown>): CoordinatorError {
  const options = details === undefined ? { committed } : { committed, details };
  return isErrorCode(code) ? new CoordinatorError(code, message, options) : new CoordinatorError('INTERNAL', `${code}: ${message}`, options);
}

/** What cannot be read is left out: the code and the sentence say enough. */
function detailsOf(data: unknown): Record<string, unknown> | undefined {
  if (!Buffer.isBuffer(data)) return undefined;
  try {
    const value: unknown = JSON.parse(data.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function codeOfStatus(failure: Partial<ServiceError>): ErrorCode {
  switch (failure.code) {
    case status.DEADLINE_EXCEEDED:
      return 'TIMEOUT';
    case status.CANCELLED:
      return 'ABORTED';
    case status.RESOURCE_EXHAUSTED:
      return 'BATCH_TOO_LARGE';
    case status.INVALID_ARGUMENT:
      return 'INVALID_EVENT';
    case status.PERMISSION_DENIED:
      return 'PERMISSION_DENIED';
    case status.UNAUTHENTICATED:
      return 'UNAUTHENTICATED';
    case status.NOT_FOUND:
      return 'NOT_FOUND';
    case status.UNAVAILABLE:
    // A connection cut in the middle of an answer, or another protocol on the port.
    case status.INTERNAL:
    case status.UNKNOWN:
    case status.UNIMPLEMENTED:
      return 'UNAVAILABLE';
    default:
      return 'INTERNAL';
  }
}
