import { LIMITS } from '../contracts/limits.js';
import { CoordinatorError } from './coordinator-error.js';

/** Throws `USAGE` for what is no time to wait. Beyond the limit timers ring at once, those included that gRPC makes of it. */
export function checkTimeout(timeoutMs: number): number {
  if (timeoutMs > 0 && timeoutMs <= LIMITS.timeoutMsMax) return timeoutMs;
  throw new CoordinatorError('USAGE', `timeoutMs ${timeoutMs} is no time to wait; a number above 0, up to ${LIMITS.timeoutMsMax}, is allowed`, { details: { limit: LIMITS.timeoutMsMax } });
}
