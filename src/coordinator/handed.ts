/** Ids of events that a leader may have: they were handed in, and it is not known that nothing came of it. */
import type { EventInput } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import type { Ending } from './publisher.js';

/** Beyond, the oldest is forgotten, and no id is known to be new any more. */
const IDS_MAX = 65_536;

export class Handed {
  /** Attempts of each that are under way, or whose end is not known. */
  readonly #attempts = new Map<string, number>();
  readonly #firstLife: boolean;
  readonly #settled = new Set<number>();
  #forgetful = false;

  /** `firstLife`: the directory was never open before, so that nothing was handed in from it. */
  constructor(firstLife: boolean) {
    this.#firstLife = firstLife;
  }

  has(id: string | undefined): boolean {
    return id !== undefined && this.#attempts.has(keyOf(id));
  }

  hasAny(events: readonly EventInput[]): boolean {
    return this.#attempts.size > 0 && events.some((event) => this.has(event?.id));
  }

  /**
   * Whether all that may have been handed in to a group, and is not known here, has come to its end: what earlier lives did is not written down.
   * Once this one has committed something there, whatever they have handed in was committed before, and is applied here, or never will be.
   */
  isSettled(group: number): boolean {
    return !this.#forgetful && (this.#firstLife || this.#settled.has(group));
  }

  /** Something that was handed in by this life is committed. */
  settle(group: number): void {
    this.#settled.add(group);
  }

  /** Events of which somebody says that they may have been handed in, here or elsewhere. */
  note(events: readonly EventInput[]): void {
    for (const event of events) if (!this.has(event?.id)) this.#begin(event?.id);
  }

  /** Events without an id are published once: nobody can name them again. */
  async follow(events: readonly EventInput[], ended: Promise<Ending[]>): Promise<Ending[]> {
    for (const event of events) this.#begin(event?.id);
    try {
      const endings = await ended;
      for (const [at, event] of events.entries()) this.#end(event?.id, endings[at]);
      return endings;
    } catch (error) {
      for (const event of events) this.#end(event?.id, error);
      throw error;
    }
  }

  #begin(given: string | undefined): void {
    if (given === undefined) return;
    const id = keyOf(given);
    this.#attempts.set(id, (this.#attempts.get(id) ?? 0) + 1);
    const [oldest] = this.#attempts.keys();
    if (this.#attempts.size <= IDS_MAX || oldest === undefined) return;
    this.#attempts.delete(oldest);
    this.#forgetful = true;
  }

  #end(given: string | undefined, ending: unknown): void {
    const id = keyOf(given);
    if (given === undefined || (ending instanceof CoordinatorError && ending.committed === 'unknown')) return;
    const attempts = ending instanceof CoordinatorError ? (this.#attempts.get(id) ?? 1) - 1 : 0;
    if (attempts > 0) this.#attempts.set(id, attempts);
    else this.#attempts.delete(id);
  }
}

/** One id may be spelled in two ways. */
const keyOf = (id: unknown): string => String(id).toLowerCase();
