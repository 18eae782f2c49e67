/** Finds in the causal lane what this node has lowered in earlier lives and what has no place yet. */
import { isOwnId, PLACED } from '../events/index.js';
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

export class Unplaced {
  readonly #lane: Pick<OwnLane, 'atEnd' | 'notes' | 'behind' | 'actor' | 'earlier' | 'close'>;
  readonly #placing: Placing;
  /** Of each actor the last entry whose lowered events have their places. */
  readonly #through = new Map<string, bigint>();
  readonly #marks: Mark[] = [];
  /** Everything that was on disk at the start was looked through. */
  #found = false;
  #earlier = 0n;
  #adopting: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(lane: Pick<OwnLane, 'atEnd' | 'notes' | 'behind' | 'actor' | 'earlier' | 'close'>, placing: Placing) {
    this.#lane = lane;
    this.#placing = placing;
  }

  /** Gives what was found to be placed, in order; then it is complete. What cannot be read now is tried again later. */
  #adopt(): void {
    this.#adopting = this.#adopting.then(async () => {
      for (let [mark] = this.#marks; mark !== undefined; [mark] = this.#marks) {
        if (this.#ended || !(await this.#adopted(mark))) return;
        this.#marks.shift();
      }
      this.#placing.complete();
    });
  }

  /** To be called now and then: where more has come of earlier lives, or could not be read before. */
  look(): void {
    if (this.#ended) return;
    if (!this.#found) {
      while (this.#read(() => true));
      if (!this.#lane.atEnd) return;
      this.#found = true;
      this.#earlier = this.#lane.earlier;
      this.#adopt();
      return;
    }
    const { actor, earlier } = this.#lane;
    // What this life writes is known to whoever writes it.
    if (earlier !== this.#earlier && actor !== null) while (this.#read((of) => of !== actor));
    this.#earlier = earlier;
    if (this.#marks.length > 0) this.#adopt();
  }

  close(): void {
    this.#ended = true;
    this.#lane.close();
  }

  async #adopted(mark: Mark): Promise<boolean> {
    if (mark.index <= (this.#through.get(mark.actor) ?? 0n)) return true;
    try {
      // What was in the lane before is not there again: an earlier mark has it.
      const events = (await this.#lane.behind(mark, new Set(mark.ids))).map(loweredOf);
      this.#placing.fill(this.#placing.expect(null, mark.asked.group, events.map(({ event }) => event.id)), events, mark.asked);
      return true;
    } catch {
      return false;
    }
  }

  /** False at the end of what is delivered. */
  #read(counts: (actor: string) => boolean): boolean {
    const notes = this.#lane.notes();
    for (const note of notes?.filter(({ actor }) => counts(actor)) ?? []) this.#take(note);
    return notes !== null;
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
}

function loweredOf({ event, ...place }: LaneEvent): Lowered {
  return { event: event as unknown as Lowered['event'], ...place, hlc: event.hlc };
}
