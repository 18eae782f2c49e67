/** What the clients were told, event by event, and whether the journal agrees in the end. */
import type { EventInput, Receipt } from '../../dist/index.js';
import { CoordinatorError } from '../../dist/errors/index.js';
import type { Ending } from '../../dist/coordinator/publisher.js';

interface Told {
  readonly event: EventInput;
  /** Attempts whose end is not known yet, or never will be. */
  open: number;
  readonly places: { readonly index: bigint; readonly offset: number }[];
  /** A fence has made it final that the event will never be there. */
  absent: boolean;
}

/** Of the simulator's id window, a part: what is tried again stays at its first place in the list. */
const WINDOW_EVENTS = 1_000;

export interface Placed {
  readonly id: string;
  readonly index: bigint;
  readonly offset: number;
}

export class Ledger {
  readonly #told = new Map<string, Told>();
  readonly violations: string[] = [];
  receipts = 0;
  duplicates = 0;
  readonly errors = new Map<string, number>();
  /** Highest index of any receipt so far: what a barrier that begins now has to reach. */
  highest = 0n;

  violate(what: string): void {
    this.violations.push(what);
  }

  /** Events have their ids from the start, and the same bytes whenever they are tried again. */
  tried(event: EventInput): void {
    const id = event.id as string;
    const told = this.#told.get(id) ?? { event, open: 0, places: [], absent: false };
    told.open += 1;
    this.#told.set(id, told);
  }

  ended(id: string, ending: Ending): void {
    const told = this.#told.get(id) as Told;
    if (ending instanceof CoordinatorError) {
      const key = `${ending.code}/${ending.committed}`;
      this.errors.set(key, (this.errors.get(key) ?? 0) + 1);
      if (ending.committed === 'no') told.open -= 1;
      return;
    }
    told.open -= 1;
    this.placed(id, ending);
  }

  placed(id: string, receipt: Receipt): void {
    this.receipts += 1;
    if (receipt.duplicate) this.duplicates += 1;
    if (receipt.eventId !== id) this.violate(`the receipt of ${id} names ${receipt.eventId}`);
    const { index, offset } = receipt;
    this.#told.get(id)?.places.push({ index, offset });
    if (index > this.highest) this.highest = index;
  }

  absent(id: string): void {
    const told = this.#told.get(id);
    if (told !== undefined) told.absent = true;
  }

  /** Events whose end somebody may still want to know, while they are in the id window whatever became of them (rule R3). */
  get unknown(): EventInput[] {
    return [...this.#told.values()].slice(-WINDOW_EVENTS).filter(({ open, places, absent }) => open > 0 && places.length === 0 && !absent).map(({ event }) => event);
  }

  /** `journal` begins at `first`. */
  compare(journal: readonly Placed[], first: bigint): void {
    const places = new Map<string, Placed>();
    for (const placed of journal) {
      if (places.has(placed.id)) this.violate(`${placed.id} is in the journal twice`);
      places.set(placed.id, placed);
    }
    for (const [id, { open, places: told, absent }] of this.#told) {
      const found = places.get(id);
      for (const { index, offset } of told) {
        if (index < first) continue;
        if (found === undefined) this.violate(`${id} was acknowledged at ${index}.${offset} and is not in the journal`);
        else if (found.index !== index || found.offset !== offset) this.violate(`${id} was acknowledged at ${index}.${offset} and is at ${found.index}.${found.offset}`);
      }
      if (found !== undefined && absent) this.violate(`${id} was said to be absent and is in the journal`);
      // Every attempt was said not to have been committed.
      if (found !== undefined && told.length === 0 && open === 0) this.violate(`${id} was said not to be committed and is in the journal`);
    }
  }
}
