/** A drawing of what led to an event: below each event its nearest causes, and theirs, down to a depth. */
import type { Causality, CausalityOptions, CausalKey, Delivery } from '../contracts/index.js';
import { describeDelivery } from './describe-delivery.js';

export interface Drawn {
  readonly id: string;
  readonly key: CausalKey;
  readonly text: string;
}

/** One line an event; what is drawn already is named again, without what is below it. */
export async function* causalTree(causality: Causality, root: Drawn, depth: number, options: CausalityOptions): AsyncGenerator<string> {
  const drawn = new Set<string>();
  async function* below({ id, key, text }: Drawn, left: number, first: string, rest: string): AsyncGenerator<string> {
    const again = drawn.has(id);
    drawn.add(id);
    yield `${first}${text}${again ? '  (above)' : ''}`;
    if (again || left === 0) return;
    const causes: Delivery[] = [];
    for await (const cause of causality.causesOf(key, { ...options, direct: true })) causes.push(cause);
    for (const [at, cause] of causes.entries()) {
      const last = at === causes.length - 1;
      yield* below(drawnOf(cause), left - 1, `${rest}${last ? '└─ ' : '├─ '}`, `${rest}${last ? '   ' : '│  '}`);
    }
  }
  yield* below(root, depth, '', '');
}

/** The cursor finds it also where the node has let go of its id. */
export const drawnOf = (delivery: Delivery): Drawn => ({
  id: delivery.event.id,
  key: { id: delivery.event.id, cursor: delivery.cursor },
  text: describeDelivery(delivery),
});
