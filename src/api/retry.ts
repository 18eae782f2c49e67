import type { CoordinatorError, ErrorCode } from '../errors/index.js';

/** Failures that the same event under the same id may overcome a moment later, at this node or at another. */
const RETRYABLE: ReadonlySet<ErrorCode> = new Set([
  'NOT_LEADER',
  'UNAVAILABLE',
  'TIMEOUT',
  'BACKPRESSURE',
  'GROUP_QUOTA',
  'CONNECTIONS_MAX',
  'CLOSED',
  'NODE_FAILED',
  'DISK_FAILED',
  'DISK_FULL',
  'STATE_DIVERGED',
  'MEMBER_REMOVED',
]);

export function isRetryable(error: CoordinatorError): boolean {
  return RETRYABLE.has(error.code);
}
