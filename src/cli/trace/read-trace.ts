import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { EventInput } from '../../contracts/index.js';
import { CoordinatorError } from '../../errors/index.js';
import { readLines } from '../lines.js';
import { lineInvalid, parseOperation, type TraceOperation } from './operation.js';
import { eventOfOperation } from './trace-event.js';

/** A line of a trace that was read, or why it could not be. */
export type TraceLine = { readonly line: number; readonly operation: TraceOperation } | { readonly line: number; readonly error: CoordinatorError };

const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);

/** Bytes of a file, unpacked when they are gzip, which the first two bytes tell. */
async function* bytesOf(file: string): AsyncGenerator<Uint8Array> {
  try {
    await using handle = await open(file);
    const head = Buffer.alloc(GZIP_MAGIC.length);
    await handle.read(head, 0, head.length, 0);
    const raw = handle.createReadStream({ start: 0, autoClose: false });
    // An error of either stream ends the other, and comes out of the loop.
    yield* head.equals(GZIP_MAGIC) ? pipeline(raw, createGunzip(), () => {}) : raw;
  } catch (cause) {
    throw new CoordinatorError('TRACE_INVALID', `The trace ${file} cannot be read: ${(cause as Error).message}.`, { cause, details: { file } });
  }
}

/**
 * Reads a trace, plain or gzip, line by line with bounded memory. A line that cannot be used comes as an error with its number,
 * and reading goes on; empty lines are passed over.
 * @throws CoordinatorError `TRACE_INVALID` when the file itself cannot be read.
 */
export async function* readTrace(file: string): AsyncGenerator<TraceLine> {
  for await (const { number, text, problem } of readLines(bytesOf(file))) {
    if (text === null) yield { line: number, error: lineInvalid(number, `${problem}.`) };
    else if (text.trim() !== '') {
      try {
        yield { line: number, operation: parseOperation(text, number) };
      } catch (error) {
        yield { line: number, error: CoordinatorError.from(error, 'LINE_INVALID') };
      }
    }
  }
}

export interface TraceEventOptions {
  /** Give reads as events too; otherwise each comes as null. */
  readonly reads: boolean;
  /** Called for a line that cannot be used; when it throws, reading ends. */
  readonly onInvalidLine: (error: CoordinatorError) => void;
}

/** The events of a trace in its order; null for a read that stays local. */
export async function* traceEvents(file: string, options: TraceEventOptions): AsyncGenerator<EventInput | null> {
  for await (const read of readTrace(file)) {
    if ('error' in read) options.onInvalidLine(read.error);
    else {
      let mapped: ReturnType<typeof eventOfOperation>;
      try {
        mapped = eventOfOperation(read.operation, read.line);
      } catch (error) {
        options.onInvalidLine(CoordinatorError.from(error, 'LINE_INVALID'));
        continue;
      }
      yield mapped.isRead && !options.reads ? null : mapped.event;
    }
  }
}

/** Lines of a trace that are not empty: what a progress bar counts to. */
export async function countOperations(file: string): Promise<number> {
  let count = 0;
  for await (const { text } of readLines(bytesOf(file))) if (text === null || text.trim() !== '') count += 1;
  return count;
}
