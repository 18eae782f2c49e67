import { CoordinatorError } from '../../errors/index.js';

/** One recorded filesystem operation: a line of a trace. */
export interface TraceOperation {
  /** Microseconds since the first operation. */
  readonly us: number;
  /** Number of the process in the recording, from 0. */
  readonly pid: number;
  readonly op: string;
  /** Absolute within the recorded root, which is `/`. */
  readonly path: string;
  /** Second path of a rename or link. */
  readonly to?: string;
  /** Bytes read or written. */
  readonly bytes?: number;
  /** New size of a truncated file. */
  readonly size?: number;
  /** New mode, in octal. */
  readonly mode?: string | number;
  /** What a symbolic link points to. */
  readonly target?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** New times of a setattr. */
  readonly atime?: string | number;
  readonly mtime?: string | number;
}

const KINDS: Readonly<Record<keyof TraceOperation, { readonly types: readonly string[]; readonly required?: boolean }>> = {
  us: { types: ['number'], required: true },
  pid: { types: ['number'], required: true },
  op: { types: ['string'], required: true },
  path: { types: ['string'], required: true },
  to: { types: ['string'] },
  bytes: { types: ['number'] },
  size: { types: ['number'] },
  mode: { types: ['string', 'number'] },
  target: { types: ['string'] },
  uid: { types: ['number'] },
  gid: { types: ['number'] },
  atime: { types: ['string', 'number'] },
  mtime: { types: ['string', 'number'] },
};

/** A line that cannot be used, with its number; the lines after it are not affected. */
export function lineInvalid(line: number, why: string, cause?: unknown): CoordinatorError {
  return new CoordinatorError('LINE_INVALID', `line ${line}: ${why}`, { details: { line }, ...(cause === undefined ? {} : { cause }) });
}

/** Reads one line. Members it does not know are left alone, so that newer recordings can be read. Throws `LINE_INVALID`. */
export function parseOperation(text: string, line: number): TraceOperation {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw lineInvalid(line, `it is no JSON: ${(cause as Error).message}.`, cause);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw lineInvalid(line, 'it is no JSON object.');
  const operation = json as Record<string, unknown>;
  for (const [name, { types, required }] of Object.entries(KINDS)) {
    const value = operation[name];
    if (value === undefined) {
      if (required) throw lineInvalid(line, `${name} is missing.`);
    } else if (!types.includes(typeof value)) {
      throw lineInvalid(line, `${name} is ${JSON.stringify(value)}; a ${types.join(' or ')} is allowed.`);
    }
  }
  return json as TraceOperation;
}
