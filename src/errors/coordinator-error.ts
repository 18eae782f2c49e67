import type { Committed } from '../contracts/coordinator.js';
import { ERROR_CODES, type ErrorCode, isErrorCode } from './codes.js';

export interface CoordinatorErrorOptions {
  /** Whether the event was committed all the same; the code's default when absent. */
  readonly committed?: Committed;
  /** Plain data for programs: field names, limits, line numbers. */
  readonly details?: Record<string, unknown>;
  readonly cause?: unknown;
}

/** The one error class of this package. Programs look at `code`, people at `message`. */
export class CoordinatorError extends Error {
  override readonly name = 'CoordinatorError';
  readonly code: ErrorCode;
  /** Whether what failed has nevertheless been committed (rule R4). */
  readonly committed: Committed;
  readonly details?: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, options: CoordinatorErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.committed = options.committed ?? ERROR_CODES[code].committed;
    if (options.details !== undefined) this.details = options.details;
  }

  /** Exit status of the command line for this error. */
  get exitCode(): 1 | 2 {
    return ERROR_CODES[this.code].exit;
  }

  toJSON(): { code: ErrorCode; message: string; committed: Committed } {
    return { code: this.code, message: this.message, committed: this.committed };
  }

  /**
   * The same error, or the nearest one for what another layer threw: a native error keeps its `code` when it is one of ours,
   * anything else becomes `INTERNAL` (or `fallback`) with the original as `cause`.
   */
  static from(thrown: unknown, fallback: ErrorCode = 'INTERNAL', options: CoordinatorErrorOptions = {}): CoordinatorError {
    if (thrown instanceof CoordinatorError) return thrown;
    const code = (thrown as { code?: unknown } | null | undefined)?.code;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new CoordinatorError(isErrorCode(code) ? code : fallback, message, { cause: thrown, ...options });
  }
}
