/** Finds in the causal lane what this node has lowered in earlier lives and what has no place yet. */
import { CoordinatorError } from '../errors/index.js';
import { type CausalPlace, isOwnId, PLACED } from '../events/index.js';
import type { LaneEvent, OwnLane } from './own-lane.js';
import { type Asked, type Lowered, readDegraded, readPlaced } from './place-notice.js';
import type { Placing } from './placing.js';

interface Mark {
  readonly actor: string;
  readonly index: bigint;
  readonly offset: number;
  readonly asked: Asked;
  readonly ids: readonly string[];
}

type Lane = Pick<OwnLane, 'unread' | 'notes' | 'behind' | 'before' | 'isGone' | 'actor' | 'close'>;

/** Between two attempts to read what could not be: each holds the event loop for a while, since a repair may be under way. */
const UNREADABLE_MS = 10_000;

export class Unplaced {
  readonly #lane: Lane;
  readonly #placing: Placing;
  /** Of each actor the last entry whose lowered events have their places. */
  readonly #through = new Map<string, bigint>();
  readonly #marks: Mark[] = [];
  /** Who writes here, once all was read that it had written before this life: what it writes now is known to whoever writes it. */
  #writer: string | null = null;
  #looking = false;
  #resting: NodeJS.Timeout | null = null;
  #ended = false;

  constructor(lane: Lane, placing: Placing) {
    this.#lane = lane;
    this.#placing = placing;
  }

  /**
   * Resolves once what is delivered was looked through. To be called now and then: more may come of earlier lives, where the directory was put
   * back, and what cannot be read now is tried again later.
   */
  async look(): Promise<void> {
    if (this.#ended || this.#looking || this.#resting !== null) return;
    this.#looking = true;
    await this.#look();
    this.#looking = false;
  }

  /**
   * Of a place that states of the lane are to be kept for, what they may say that they cover: the lane's logs are cut for it, and are the only
   * record of what has no place yet. Null where that cannot be told now.
   */
  before(place: CausalPlace): CausalPlace | null {
    const { unplaced } = this.#placing;
    return unplaced === null ? null : this.#lane.before(place, [...unplaced, ...this.#marks], this.#writer);
  }

  close(): void {
    this.#ended = true;
    if (this.#resting !== null) clearTimeout(this.#resting);
    this.#lane.close();
  }

  async #look(): Promise<void> {
    try {
      if ((await this.#read()) && (await this.#adopt())) this.#placing.complete();
      this.#placing.unreadable = null;
    } catch (thrown) {
      if (this.#ended) return;
      this.#placing.unreadable = CoordinatorError.from(thrown);
      this.#resting = setTimeout(() => {
        this.#resting = null;
      }, UNREADABLE_MS).unref();
    }
  }

  /** True once everything is read that is delivered. */
  async #read(): Promise<boolean> {
    // Looked at before: what it has written until then is read below.
    const { actor } = this.#lane;
    if (actor !== this.#writer) this.#writer = null;
    while (this.#lane.unread(this.#writer).length > 0) {
      const notes = this.#lane.notes();
      if (notes === null) return false;
      for (const note of notes) if (this.#writer === null || note.actor !== this.#writer) this.#take(note);
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#ended) return false;
    }
    if (actor !== null && this.#writer === null) {
      this.#writer = actor;
      this.#placing.forgetMarks();
    }
    return true;
  }

  #take({ event, actor, index, offset }: LaneEvent): void {
    if (!isOwnId(event.id)) return;
    if (event.code === PLACED) {
      for (const [of, through] of readPlaced(event.metadata)) if (through > (this.#through.get(of) ?? 0n)) this.#through.set(of, through);
      return;
    }
    const read = readDegraded(event);
    if (read !== null && !this.#placing.isOwn(event.id)) this.#marks.push({ actor, index, offset, ...read });
  }

  /** Gives what was found to be placed, in order. False where there is no room for all of it. */
  async #adopt(): Promise<boolean> {
    for (let [mark] = this.#marks; mark !== undefined; [mark] = this.#marks) {
      const events = mark.index <= (this.#through.get(mark.actor) ?? 0n) ? [] : await this.#behind(mark);
      if (this.#ended) return false;
      try {
        if (events.length > 0) this.#placing.fill(this.#placing.expect(null, mark.asked.group, events.map(({ event }) => event.id)), events, mark.asked);
      } catch (thrown) {
        if (thrown instanceof CoordinatorError && thrown.code === 'BACKPRESSURE') return false;
        throw thrown;
      }
      this.#marks.shift();
    }
    return true;
  }

  /** What was in the lane before is not there again: an earlier mark has it. */
  async #behind(mark: Mark): Promise<Lowered[]> {
    try {
      return (await this.#lane.behind(mark, new Set(mark.ids))).map(loweredOf);
    } catch (thrown) {
      // Its log was lost here, and begins behind it where it still is: what nobody has gets no place.
      if (!(thrown instanceof CoordinatorError) || thrown.code !== 'CURSOR_COMPACTED' || !this.#lane.isGone(mark)) throw thrown;
      this.#placing.refused += mark.ids.length;
      return [];
    }
  }
}

function loweredOf({ event, ...place }: LaneEvent): Lowered {
  return { event: event as unknown as Lowered['event'], ...place, hlc: event.hlc };
}
