/** Ids of events that a leader may have: they were handed in, and it is not known that nothing came of it. */
import type { EventInput } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import type { Ending } from './publisher.js';

/** Beyond, the oldest is forgotten. */
const IDS_MAX = 65_536;

export class Handed {
  /** Attempts of each that are under way, or whose end is not known. */
  readonly #attempts = new Map<string, number>();

  hasAny(events: readonly EventInput[]): boolean {
    return this.#attempts.size > 0 && events.some((event) => this.#attempts.has(keyOf(event?.id)));
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
    if (this.#attempts.size > IDS_MAX && oldest !== undefined) this.#attempts.delete(oldest);
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
