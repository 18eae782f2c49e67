import { createReadStream } from 'node:fs';
import { CoordinatorError } from '../../errors/index.js';
import { readLines } from '../lines.js';

/** Where a receipt says its event is. */
export interface Acknowledged {
  readonly group: number;
  readonly index: bigint;
  readonly offset: number;
  readonly term: bigint;
  readonly line: number;
  /** Bit per member whose journal has the event just there; members are as many as directories were given. */
  found: bigint;
}

/** The receipts of the ordered lane, by event id. */
export class Receipts extends Map<string, Acknowledged> {
  /** Receipts of other lanes in the file: journals say nothing of their events. */
  ofOtherLanes = 0;
}

/**
 * The receipts in a file of JSON lines. Lines with an `error` acknowledge nothing.
 * A last line cut off by the end of its writer is left out; any other unreadable line is `LINE_INVALID`.
 */
export async function readReceipts(path: string): Promise<Receipts> {
  const receipts = new Receipts();
  let torn: CoordinatorError | null = null;
  try {
    for await (const { number, text, problem } of readLines(createReadStream(path))) {
      if (torn !== null) throw torn;
      if (text?.trim() === '') continue;
      try {
        if (text === null) throw new Error(problem ?? 'it cannot be read');
        take(receipts, JSON.parse(text), number);
      } catch (error) {
        torn = new CoordinatorError('LINE_INVALID', `${path}, line ${number} is no receipt: ${(error as Error).message}`, { cause: error });
      }
    }
  } catch (error) {
    if (error instanceof CoordinatorError) throw error;
    throw new CoordinatorError('USAGE', `the receipts file ${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  return receipts;
}

function take(receipts: Receipts, value: Record<string, unknown>, line: number): void {
  if ('error' in value) return;
  if (value.lane !== undefined && value.lane !== 'ordered') {
    receipts.ofOtherLanes += 1;
    return;
  }
  const { eventId, group = 0, index, offset = 0, term } = value;
  if (typeof eventId !== 'string' || typeof group !== 'number' || typeof offset !== 'number') throw new Error('it lacks eventId, group or offset');
  const acknowledged = { group, index: BigInt(index as string), offset, term: BigInt(term as string), line, found: 0n };
  const earlier = receipts.get(eventId);
  if (earlier === undefined) receipts.set(eventId, acknowledged);
  else if (earlier.index !== acknowledged.index || earlier.offset !== offset || earlier.group !== group) {
    throw new Error(`line ${earlier.line} has another receipt for the event ${eventId}`);
  }
}
