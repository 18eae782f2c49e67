import type { Coordinator } from '../../dist/index.js';
import type { JournalCheck } from './commands.js';

/** What the loops of this process had acknowledged, to be found again in the journal. */
export class Journal {
  readonly #ids = new Set<string>();

  acknowledged(id: string): void {
    this.#ids.add(id);
  }

  /** Reads this node's journal from its beginning to what was applied at the call. */
  async check(node: Coordinator): Promise<JournalCheck> {
    const upTo = await node.readBarrier();
    const seen = new Set<string>();
    let twice = 0;
    const deliveries = node.subscribe({ from: 'first' });
    // The last event of the journal may lie before the barrier's index, so the count of events ends the reading.
    let left = node.status().groups[0]?.events ?? 0n;
    for await (const { index, event } of deliveries) {
      if (seen.has(event.id)) twice += 1;
      seen.add(event.id);
      left -= 1n;
      if (left <= 0n || index > upTo) break;
    }
    const missing = [...this.#ids].filter((id) => !seen.has(id)).length;
    return { acknowledged: this.#ids.size, missing, twice };
  }
}
