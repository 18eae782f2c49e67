import type { Coordinator } from '../../dist/index.js';
import type { JournalCheck } from './commands.js';

/** What the loops of this process had acknowledged, to be found again in the journal. */
export class Journal {
  readonly #ids = new Set<string>();
  /** Everything acknowledged lies after it. */
  #cursor: string | null = null;

  /** To be called before the first event that `acknowledged` will be told of. */
  async begin(node: Coordinator): Promise<void> {
    this.#cursor ??= (await node.publish({ type: 'SystemCheckpoint' })).cursor;
  }

  acknowledged(id: string): void {
    this.#ids.add(id);
  }

  /** Reads this node's journal from where it began to what is committed now, and begins anew. */
  async check(node: Coordinator): Promise<JournalCheck> {
    const ids = new Set(this.#ids);
    const from = this.#cursor;
    this.#ids.clear();
    this.#cursor = null;
    if (from === null) return { acknowledged: 0, missing: 0, twice: 0 };

    const end = await node.publish({ type: 'SystemCheckpoint' });
    const seen = new Set<string>();
    let twice = 0;
    for await (const { event } of node.subscribe({ from })) {
      if (seen.has(event.id)) twice += 1;
      seen.add(event.id);
      if (event.id === end.eventId) break;
    }
    const missing = [...ids].filter((id) => !seen.has(id)).length;
    return { acknowledged: ids.size, missing, twice };
  }
}
