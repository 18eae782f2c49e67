/** What can be wrong with a set of journals and receipts. */
export type ProblemKind =
  | 'cluster' // the directories do not belong together
  | 'settings' // the members had other settings that must be equal
  | 'damage' // a log is damaged
  | 'different' // two journals disagree below both commit marks
  | 'gap' // a journal lacks an entry below its commit mark
  | 'doubled' // an event id was accepted twice
  | 'missing' // an acknowledged event is in too few journals
  | 'moved'; // an acknowledged event is elsewhere than its receipt says

export interface Problem {
  readonly kind: ProblemKind;
  readonly message: string;
  readonly group: number | null;
  readonly index: bigint | null;
  readonly eventId: string | null;
}

/** Counts every problem and keeps the first ones, which are what a person can look at. */
export class Problems {
  readonly first: Problem[] = [];
  #count = 0;

  constructor(private readonly keepMax = 20) {}

  get count(): number {
    return this.#count;
  }

  add(kind: ProblemKind, message: string, at: { group?: number; index?: bigint; eventId?: string } = {}): void {
    this.#count += 1;
    if (this.first.length >= this.keepMax) return;
    this.first.push({ kind, message, group: at.group ?? null, index: at.index ?? null, eventId: at.eventId ?? null });
  }
}
