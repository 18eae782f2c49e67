/** What the clients were told, event by event, and whether the journal agrees in the end. */
import type { EventInput, Receipt } from '../../dist/index.js';
import { CoordinatorError } from '../../dist/errors/index.js';
import { PLACE } from '../../dist/events/index.js';
import type { Ending } from '../../dist/coordinator/publisher.js';

interface Told {
  readonly event: EventInput;
  /** Attempts whose end is not known yet, or never will be. */
  open: number;
  readonly places: { readonly index: bigint; readonly offset: number }[];
  /** A fence has made it final that the event will never be there. */
  absent: boolean;
  /** It was said to be in the causal lane. */
  lowered: boolean;
  /** Attempts under way that may lower it: nobody tries it elsewhere meanwhile. */
  lowering: number;
  /** Members at which it was tried. */
  readonly nodes: Set<number>;
}

/** Of the simulator's id window, a part: what is tried again stays at its first place in the list. */
const WINDOW_EVENTS = 1_000;
/** The window itself, and room for what has no id here. */
const IDS_KEPT = 4_000;

export interface Lane {
  readonly ids: readonly string[];
  readonly runs: boolean;
}

export interface Placed {
  readonly id: string;
  readonly code: number;
  readonly index: bigint;
  readonly offset: number;
}

export class Ledger {
  readonly #told = new Map<string, Told>();
  readonly violations: string[] = [];
  /** Of each session the events that have a place or were lowered, in the order in which they were published. */
  readonly #sessions = new Map<string, { readonly turn: number; readonly id: string }[]>();
  /** Publishes so far, whoever made them. */
  turns = 0;
  receipts = 0;
  lowered = 0;
  duplicates = 0;
  readonly errors = new Map<string, number>();
  /** Highest index of any receipt so far: what a barrier that begins now has to reach. */
  highest = 0n;

  violate(what: string): void {
    this.violations.push(what);
  }

  /** Events have their ids from the start, and the same bytes whenever they are tried again. */
  tried(event: EventInput, mayLower: boolean, node: number): void {
    const id = event.id as string;
    const told = this.#told.get(id) ?? { event, open: 0, places: [], absent: false, lowered: false, lowering: 0, nodes: new Set() };
    told.nodes.add(node);
    told.open += 1;
    if (mayLower) told.lowering += 1;
    this.#told.set(id, told);
  }

  onlyAt({ id }: EventInput, node: number): boolean {
    const nodes = this.#told.get(id as string)?.nodes;
    return nodes?.size === 1 && nodes.has(node);
  }

  ended(id: string, ending: Ending, mayLower: boolean): void {
    const told = this.#told.get(id) as Told;
    if (mayLower) told.lowering -= 1;
    if (ending instanceof CoordinatorError) {
      const key = `${ending.code}/${ending.committed}`;
      this.errors.set(key, (this.errors.get(key) ?? 0) + 1);
      if (ending.committed === 'no') told.open -= 1;
      return;
    }
    told.open -= 1;
    this.placed(id, ending);
  }

  /** Of a session's events in the order of its publishes, and within one in that of the batch. */
  inSession(session: string, turn: number, id: string): void {
    const events = this.#sessions.get(session) ?? [];
    events.push({ turn, id });
    this.#sessions.set(session, events);
  }

  placed(id: string, receipt: Receipt): void {
    this.receipts += 1;
    if (receipt.duplicate) this.duplicates += 1;
    if (receipt.eventId !== id) this.violate(`the receipt of ${id} names ${receipt.eventId}`);
    const told = this.#told.get(id);
    if (receipt.degraded) {
      // Where it stands is for the lane that has it.
      this.lowered += 1;
      if (told !== undefined) told.lowered = true;
      return;
    }
    const { index, offset } = receipt;
    told?.places.push({ index, offset });
    if (index > this.highest) this.highest = index;
  }

  absent(id: string): void {
    const told = this.#told.get(id);
    if (told !== undefined) told.absent = true;
  }

  /** Events whose end somebody may still want to know, while they are in the id window whatever became of them (rule R3). */
  get unknown(): EventInput[] {
    return [...this.#told.values()].slice(-WINDOW_EVENTS).filter(({ open, places, absent, lowered, lowering }) => open > 0 && places.length === 0 && !absent && !lowered && lowering === 0).map(({ event }) => event);
  }

  /** `journal` begins at `first`; `nowhere` has ids of lowered events that the group does not know. */
  compare(journal: readonly Placed[], lanes: readonly Lane[], nowhere: ReadonlySet<string>, first: bigint): void {
    const places = new Map<string, Placed>();
    for (const placed of journal) {
      if (places.has(placed.id)) this.violate(`${placed.id} is in the journal twice`);
      places.set(placed.id, placed);
    }
    this.#compareLanes(places, lanes, nowhere);
    this.#compareSessions(places);
    for (const [id, { open, places: told, absent, lowered }] of this.#told) {
      const found = places.get(id);
      for (const { index, offset } of told) {
        if (index < first) continue;
        if (found === undefined) this.violate(`${id} was acknowledged at ${index}.${offset} and is not in the journal`);
        else if (found.index !== index || found.offset !== offset) this.violate(`${id} was acknowledged at ${index}.${offset} and is at ${found.index}.${found.offset}`);
      }
      if (found !== undefined && absent) this.violate(`${id} was said to be absent and is in the journal`);
      // Every attempt was said not to have been committed.
      if (found !== undefined && told.length === 0 && open === 0 && !lowered) this.violate(`${id} was said not to be committed and is in the journal`);
    }
  }

  /** Lowered events are in the journal by notice alone, and once (rule R5). */
  #compareLanes(places: ReadonlyMap<string, Placed>, lanes: readonly Lane[], nowhere: ReadonlySet<string>): void {
    const all = lanes.flatMap(({ ids }) => ids);
    if (new Set(all).size !== all.length) this.violate('an event was lowered twice');
    for (const id of lanes.flatMap(({ ids, runs }) => (runs ? ids : []))) {
      const found = places.get(id);
      // Whoever was not told that it was lowered may have tried it at another member.
      if (found !== undefined && found.code !== PLACE && this.#told.get(id)?.lowered) this.violate(`${id} was lowered, and a second copy is at ${found.index}.${found.offset}`);
      // A fence may have taken its place, or the window have forgotten it.
      if (nowhere.has(id) && this.#told.size < IDS_KEPT && this.#told.get(id)?.absent !== true) this.violate(`${id} was lowered and has no place`);
    }
    const known = new Set(all);
    for (const { id, code } of places.values()) if (code === PLACE && !known.has(id)) this.violate(`${id} has a place, and no lane has it`);
  }

  /** Whatever way they took, the places of a session's events are in the order of its publishes. */
  #compareSessions(places: ReadonlyMap<string, Placed>): void {
    for (const [session, events] of this.#sessions) {
      let last: { readonly turn: number; readonly at: Placed } | null = null;
      for (const { turn, id } of [...events].sort((a, b) => a.turn - b.turn)) {
        const at = places.get(id);
        if (at === undefined) continue;
        if (last !== null && (at.index < last.at.index || (at.index === last.at.index && at.offset < last.at.offset))) {
          this.violate(`publish ${turn} of session ${session} is at ${at.index}.${at.offset}, publish ${last.turn} behind it at ${last.at.index}.${last.at.offset}`);
        }
        last = { turn, at };
      }
    }
  }
}
