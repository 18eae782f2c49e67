/**
 * Gives events that were lowered to level causal their places in the ordered lane, once there is a quorum again (rule R5): each session's in
 * the order in which they were published. The causal lane is the record of what has no place yet; what is kept here is a copy.
 */
import { type EventInput, LIMITS } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type Catalogue, type EventIds, ownId } from '../events/index.js';
import { type Asked, type Lowered, noticeOf, placedEvent } from './place-notice.js';
import type { Ending } from './publisher.js';
import type { QuorumWatch } from './quorum-watch.js';
import type { SessionState } from './session.js';

export interface PlacingPorts {
  readonly quorum: Pick<QuorumWatch, 'state'>;
  readonly catalogue: Catalogue;
  readonly ids: EventIds;
  /** On the ordered lane, behind the entries of the causal one that `follows` names; each event's own end. */
  publish(notices: readonly EventInput[], group: number, session: SessionState | null, follows: readonly CausalEntry[]): Promise<Ending[]>;
  /** On the causal lane. */
  keep(event: EventInput): Promise<unknown>;
}

/** An entry of the causal lane: who wrote it, as clocks spell it, and its counter. */
export type CausalEntry = Pick<Lowered, 'actor' | 'index'>;

const POLL_MS = 50;
const BATCH_EVENTS_MAX = 128;
/** Of their clocks; the rest of so many fits beside it. */
const BATCH_CLOCKS_BYTES_MAX = LIMITS.batchBytesMax / 2;

/** Room in a line for events that are being written to the causal lane; their notices once they are. */
export class Slot {
  notices: EventInput[] | null = null;
  /** Of these that many have their places. */
  placed = 0;
  /** Where the events are. */
  entries: readonly CausalEntry[] = [];

  constructor(
    readonly line: Line,
    readonly ids: readonly string[],
  ) {}
}

/** Of one session in one group. Invariant: what is placed is taken from the front. */
interface Line {
  /** Whose it is, as long as it is there. */
  readonly of: SessionState | null;
  /** What it is published through. */
  session: SessionState | null;
  readonly group: number;
  /** In order. */
  readonly slots: Set<Slot>;
  running: boolean;
}

export class Placing {
  readonly #ports: PlacingPorts;
  readonly #lines = new Map<SessionState | null, Map<number, Line>>();
  /** What waits, how often it was lowered, and what it was to be; null while it is being written. */
  readonly #ids = new Map<string, { waits: number; asked: Asked | null }>();
  /** Marks of this life, as long as those of earlier ones are looked for under the same name. */
  readonly #marks = new Set<string>();
  /** Of each origin of this node the last entry with lowered events that was seen. */
  readonly #through = new Map<string, bigint>();
  #timer: NodeJS.Timeout | null = null;
  /** Everything that was on disk at the start has been taken in. */
  #complete = false;
  #noted = true;
  #ended = false;
  /** Events that wait for their places, those included that are being written. */
  waiting = 0;
  /** Since the start: events lowered, placed, and such that can have no place, since their id was declared absent. */
  lowered = 0;
  placed = 0;
  refused = 0;
  /** Why what was lowered in earlier lives cannot be looked for now. */
  unreadable: CoordinatorError | null = null;
  #isWriterKnown = false;

  constructor(ports: PlacingPorts) {
    this.#ports = ports;
  }

  /** Whether a session's lowered events of a group wait: later ones are not to overtake them. */
  holds(session: SessionState, group: number): boolean {
    return this.#lines.get(session)?.has(group) ?? false;
  }

  /** Whether an event waits for its place: published again it would be there twice. */
  waitsFor(id: string | undefined): boolean {
    return id !== undefined && this.#ids.has(keyOf(id));
  }

  /** What it was to be; null for one that does not wait, or is being written. */
  askedOf(id: string): Asked | null {
    return this.#ids.get(keyOf(id))?.asked ?? null;
  }

  /** Whether it is known here of everything that was lowered in earlier lives. */
  get isComplete(): boolean {
    return this.#complete;
  }

  /** Where events are that have no place yet; null while some are being written, since nobody can tell. */
  get unplaced(): readonly CausalEntry[] | null {
    const slots = [...this.#lines.values()].flatMap((groups) => [...groups.values()].flatMap((line) => [...line.slots]));
    return slots.some(({ notices }) => notices === null) ? null : slots.flatMap(({ entries }) => entries);
  }

  /** A mark that this life is about to write. */
  mark(id: string): void {
    if (!this.#isWriterKnown) this.#marks.add(id);
  }

  isOwn(mark: string): boolean {
    return this.#marks.has(mark);
  }

  /** Keeps room for events behind those of the session that wait already. Throws `BACKPRESSURE`. */
  expect(session: SessionState | null, group: number, ids: readonly string[]): Slot {
    if (this.waiting + ids.length > LIMITS.unplacedEventsMax) {
      const sentence = `${this.waiting} events wait for their places in the order already, and ${LIMITS.unplacedEventsMax} may; go on when there is a quorum`;
      throw new CoordinatorError('BACKPRESSURE', sentence, { details: { limit: LIMITS.unplacedEventsMax } });
    }
    const slot = new Slot(this.#lineOf(session, group), ids);
    slot.line.slots.add(slot);
    this.waiting += ids.length;
    for (const id of ids) {
      const known = this.#ids.get(keyOf(id)) ?? { waits: 0, asked: null };
      known.waits += 1;
      this.#ids.set(keyOf(id), known);
    }
    return slot;
  }

  /** They are in the causal lane. */
  fill(slot: Slot, events: readonly Lowered[], asked: Asked): void {
    slot.notices = events.map((event) => noticeOf(event, asked, this.#ports.catalogue));
    slot.entries = events;
    this.waiting += events.length - slot.ids.length;
    const there = new Set(events.map(({ event }) => keyOf(event.id)));
    for (const id of slot.ids) {
      const known = this.#ids.get(keyOf(id));
      if (!there.has(keyOf(id))) this.#release(id);
      else if (known !== undefined) known.asked = asked;
    }
    for (const { actor, index } of events) if (index > (this.#through.get(actor) ?? 0n)) this.#through.set(actor, index);
    if (events.length === 0) this.#drop(slot);
    else this.#watch();
  }

  /** They are not in the causal lane, or nobody can tell; the next start will. */
  cancel(slot: Slot): void {
    this.waiting -= slot.ids.length;
    for (const id of slot.ids) this.#release(id);
    this.#drop(slot);
  }

  /** Has taken in what was on disk at the start. */
  complete(): void {
    this.#complete = true;
  }

  /** Who writes in this life is told from who wrote in earlier ones from now on. */
  forgetMarks(): void {
    this.#isWriterKnown = true;
    this.#marks.clear();
  }

  close(): void {
    this.#ended = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  #lineOf(session: SessionState | null, group: number): Line {
    const groups = this.#lines.get(session) ?? new Map<number, Line>();
    this.#lines.set(session, groups);
    const line = groups.get(group) ?? { of: session, session, group, slots: new Set(), running: false };
    groups.set(group, line);
    return line;
  }

  #release(id: string): void {
    const known = this.#ids.get(keyOf(id));
    if (known === undefined) return;
    known.waits -= 1;
    if (known.waits === 0) this.#ids.delete(keyOf(id));
  }

  #drop(slot: Slot): void {
    const { line } = slot;
    line.slots.delete(slot);
    if (line.slots.size > 0) return;
    const groups = this.#lines.get(line.of);
    groups?.delete(line.group);
    if (groups?.size === 0) this.#lines.delete(line.of);
  }

  #watch(): void {
    if (this.#ended) return;
    this.#noted = false;
    this.#timer ??= setInterval(() => this.#look(), POLL_MS).unref();
  }

  #look(): void {
    for (const line of [...this.#lines.values()].flatMap((groups) => [...groups.values()])) {
      const [first] = line.slots;
      if (!line.running && first?.notices != null && this.#ports.quorum.state(line.group) === 'there') void this.#place(line);
    }
    if (this.waiting === 0 && this.#complete) void this.#note();
  }

  async #place(line: Line): Promise<void> {
    line.running = true;
    const { notices, follows } = nextBatch(line);
    try {
      const endings = await this.#ports.publish(notices, line.group, line.session, follows);
      const open = endings.findIndex((ending) => !isSettled(ending));
      this.#settle(line, endings.slice(0, open < 0 ? endings.length : open));
      // Its session was forgotten: what is left has no order with what is published in it any more.
      if (endings[open] instanceof CoordinatorError && (endings[open] as CoordinatorError).code === 'SESSION_EXPIRED') line.session = null;
    } catch {
      // Tried again as long as there is a quorum: under the same ids it does no harm.
    } finally {
      line.running = false;
    }
  }

  #settle(line: Line, endings: readonly Ending[]): void {
    for (const ending of endings) {
      const [slot] = line.slots;
      if (slot?.notices == null) return;
      const notice = slot.notices[slot.placed++];
      this.waiting -= 1;
      this.#release(notice?.id ?? '');
      if (ending instanceof CoordinatorError && ending.code === 'EVENT_FENCED') this.refused += 1;
      else this.placed += 1;
      if (slot.placed === slot.notices.length) this.#drop(slot);
    }
  }

  /** All have their places: the next start need not look at what was before. */
  async #note(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    if (this.#noted || this.#through.size === 0) return;
    this.#noted = true;
    await this.#ports.keep(placedEvent(ownId(this.#ports.ids), this.#through)).catch(() => {});
  }
}

/** The first notices of a line, and where the events of their slots are. */
function nextBatch(line: Line): { readonly notices: EventInput[]; readonly follows: CausalEntry[] } {
  const [notices, follows]: [EventInput[], CausalEntry[]] = [[], []];
  let bytes = 0;
  for (const slot of line.slots) {
    if (slot.notices === null || notices.length === BATCH_EVENTS_MAX) break;
    follows.push(...slot.entries);
    for (const notice of slot.notices.slice(slot.placed, slot.placed + BATCH_EVENTS_MAX - notices.length)) {
      bytes += JSON.stringify(notice.metadata).length + (notice.payload?.length ?? 0);
      if (notices.length > 0 && bytes > BATCH_CLOCKS_BYTES_MAX) return { notices, follows };
      notices.push(notice);
    }
  }
  return { notices, follows };
}

/** Its place is taken, by this notice or, where it was published again elsewhere, by the event; or it can never be. */
function isSettled(ending: Ending): boolean {
  return !(ending instanceof CoordinatorError) || ending.code === 'EVENT_ID_REUSED' || ending.code === 'EVENT_FENCED';
}

/** One id may be spelled in two ways. */
const keyOf = (id: unknown): string => String(id).toLowerCase();
