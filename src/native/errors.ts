import { CoordinatorError, isErrorCode } from '../errors/index.js';

const CODED = /^([A-Z][A-Z_]+): (.*)$/s;

/** The one place where errors of the core become ours: `CODE: sentence`. */
export function fromNative(thrown: unknown): CoordinatorError {
  if (thrown instanceof CoordinatorError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const [, code, sentence] = CODED.exec(message) ?? [];
  if (isErrorCode(code)) return new CoordinatorError(code, sentence ?? message, { cause: thrown });
  return new CoordinatorError('INTERNAL', message, { cause: thrown });
}

/** Calls into the core, errors mapped. */
export function calling<T>(call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    throw fromNative(thrown);
  }
}
