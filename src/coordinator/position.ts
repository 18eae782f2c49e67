/** Places in a group's journal. */
export interface Position {
  readonly index: bigint;
  readonly offset: number;
}

/** Stands for the last event of an entry, whatever their number. */
export const REST_OF_ENTRY = 0xffff_fffe;

/** Negative, zero or positive as `a` stands before, at or after `b`. */
export function compare(a: Position, b: Position): number {
  if (a.index !== b.index) return a.index < b.index ? -1 : 1;
  return a.offset - b.offset;
}
