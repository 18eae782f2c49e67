/** What a session has on its way in the causal lane comes before what it publishes next in the ordered one (rule R6). */
import test, { type ExecutionContext } from 'ava';
import { Placing } from '../dist/coordinator/placing.js';
import { SessionState } from '../dist/coordinator/session.js';
import { Catalogue, EventIds } from '../dist/events/index.js';
import type { CoordinatorError, EventInput, PublishOptions, Receipt } from '../dist/index.js';
import { realPorts } from '../dist/runtime/index.js';
import { fileWrite } from './helpers/cluster.js';
import { closeAfter, lossOf } from './helpers/quorum-loss.js';

const ids = new EventIds(realPorts);
const decision = { level: 'linearizable', rule: null, quorumSize: undefined, timeoutMs: undefined, onQuorumLoss: 'wait', lossRule: null } as const;

/** Publishes without a node; what is handed in is noted by its path. */
function lane(t: ExecutionContext) {
  const catalogue = new Catalogue({});
  const placing = new Placing({ quorum: { state: () => 'there' }, catalogue, ids, publish: async () => [], keep: async () => {} });
  const handed: (string | null | undefined)[] = [];
  const loss = lossOf({
    placing,
    firstLife: true,
    degrades: false,
    ordered: async (events) => {
      handed.push(...events.map(({ path }) => path));
      return events.map(() => ({}) as Receipt);
    },
  });
  closeAfter(t, loss, placing);
  const publish = (event: EventInput, session: SessionState | null, options: PublishOptions = {}) => loss.publish([event], decision, options, 0, session, false);
  /** A publish of the causal lane, until what comes back is called. */
  const write = (session: SessionState): (() => void) => {
    let end = () => {};
    const written = new Promise<void>((resolve) => {
      end = resolve;
    });
    void session.write(written, () => loss.wrote(session));
    return end;
  };
  return { handed, publish, write };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('it is waited for by that session alone, in the order of the calls, and by nobody longer', async (t) => {
  const { handed, publish, write } = lane(t);
  const [session, other] = [new SessionState(ids.next()), new SessionState(ids.next())];
  void publish(fileWrite('/before'), session);
  const [first, second] = [write(session), write(session)];
  const waits = ['/1', '/2'].map((path) => publish(fileWrite(path), session));
  void publish(fileWrite('/other'), other);
  void publish(fileWrite('/none'), null);
  // What is written after the call is none of its.
  const later = write(session);
  t.deepEqual(handed, ['/before', '/other', '/none']);
  second();
  await turn();
  t.deepEqual(handed.splice(0), ['/before', '/other', '/none']);
  first();
  await turn();
  t.deepEqual(handed.splice(0), ['/1', '/2']);
  await Promise.all(waits);
  const last = publish(fileWrite('/3'), session);
  later();
  await last;
  t.deepEqual(handed, ['/3']);
});

test('what ends while it waits is not committed', async (t) => {
  const { handed, publish, write } = lane(t);
  const session = new SessionState(ids.next());
  const end = write(session);
  const controller = new AbortController();
  const ended = [publish(fileWrite('/late'), session, { timeoutMs: 30 }), publish(fileWrite('/aborted'), session, { signal: controller.signal })].map((publish) => publish.catch((error: CoordinatorError) => `${error.code}/${error.committed}`));
  controller.abort();
  t.deepEqual(await Promise.all(ended), ['TIMEOUT/no', 'ABORTED/no']);
  end();
  await publish(fileWrite('/next'), session);
  t.deepEqual(handed, ['/next']);
});
