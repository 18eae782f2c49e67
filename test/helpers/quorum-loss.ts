/** The policy of a lost quorum without a node: what a test does not say takes everything and does nothing. */
import type { ExecutionContext } from 'ava';
import { QuorumLoss, type QuorumLossPorts } from '../../dist/coordinator/quorum-loss.js';
import { Catalogue, EventIds, SubmissionWriter } from '../../dist/events/index.js';
import type { Receipt } from '../../dist/index.js';
import { realPorts } from '../../dist/runtime/index.js';

export function lossOf(ports: Pick<QuorumLossPorts, 'placing' | 'firstLife' | 'degrades'> & Partial<QuorumLossPorts>): QuorumLoss {
  const ids = new EventIds(realPorts);
  return new QuorumLoss({
    quorum: { state: () => 'there' },
    ids,
    writer: new SubmissionWriter(new Catalogue({}), ids),
    nodeId: 'a',
    bytesMax: 1024 * 1024,
    timeoutMs: 10_000,
    reaches: () => true,
    monotonicMs: () => performance.now(),
    known: async () => null,
    causal: async () => [],
    ordered: async (events) => events.map(() => ({}) as Receipt),
    ...ports,
  });
}

/** Closes them with the test, and keeps the process alive until then: who waits does not. */
export function closeAfter(t: ExecutionContext, ...open: readonly { close(): void }[]): void {
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => {
    clearInterval(alive);
    for (const one of open) one.close();
  });
}
