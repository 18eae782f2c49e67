import type { Coordinator } from '../../dist/index.js';
import { EventSource } from './events.js';

const BATCH = 256;
const IN_FLIGHT = 32;
const SESSIONS_IN_FLIGHT = 256;

/** Gives the group's state a size: places in the id window, and sessions. */
export async function grow(node: Coordinator, { events, sessions }: { readonly events: number; readonly sessions: number }): Promise<void> {
  const source = new EventSource('plain', BATCH);
  let batches = Math.ceil(events / BATCH);
  const lane = async (): Promise<void> => {
    while (batches-- > 0) await node.publishBatch(source.batch());
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  let left = sessions;
  const opening = async (): Promise<void> => {
    while (left-- > 0) await node.publish(source.one(), { session: node.session() });
  };
  await Promise.all(Array.from({ length: SESSIONS_IN_FLIGHT }, opening));
}
