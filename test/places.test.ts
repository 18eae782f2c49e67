/** What the coordinator writes of lowered events: by whom, and who believes it (decision 23). */
import test from 'ava';
import { ApiClient, ApiServer, CoordinatorError, type EventInput, type PublishOptions, type Receipt } from '../dist/index.js';
import { Catalogue, DEGRADED, EventIds, newEventId, PLACE, PLACED } from '../dist/events/index.js';
import type { LaneEvent } from '../dist/coordinator/own-lane.js';
import { Placing } from '../dist/coordinator/placing.js';
import { SessionState } from '../dist/coordinator/session.js';
import { Unplaced } from '../dist/coordinator/unplaced.js';
import { realPorts } from '../dist/runtime/index.js';
import { codeOf, Embedded, fileWrite, take, until } from './helpers/cluster.js';
import { closeAfter, lossOf } from './helpers/quorum-loss.js';

const ids = new EventIds(realPorts);
const own = (): string => ids.next().replace(/^(.{14})7/, '$18');
const bytesOf = (id: string): Buffer => Buffer.from(id.replaceAll('-', ''), 'hex');

test.serial('whoever publishes what the coordinator writes itself is refused, at every door', async (t) => {
  const a = (await Embedded.start(t, {}, ['a'])).get('a');
  const server = await ApiServer.start(a, { address: '127.0.0.1:0' });
  const client = new ApiClient(server.address);
  t.teardown(async () => {
    client.close();
    await server.close();
  });
  const metadata = { through: { a: '999999' } };
  for (const type of ['CoordinatorPlaced', 'CoordinatorPlace', 'CoordinatorDegraded', PLACE, PLACED, String(DEGRADED)]) {
    for (const consistency of ['causal', 'eventual', 'linearizable'] as const) {
      const event: EventInput = { id: own(), type, metadata };
      const error = (await a.publish(event, { consistency }).catch((thrown: unknown) => thrown)) as CoordinatorError;
      t.like(error, { code: 'EVENT_TYPE_RESERVED', committed: 'no' });
      t.regex(error.message, /type is Coordinator\w+, which the coordinator itself writes/);
      t.is(await codeOf(a.session().publishBatch([fileWrite('/x'), event], { consistency })), 'EVENT_TYPE_RESERVED');
      t.is(await codeOf(client.publish(event, { consistency })), 'EVENT_TYPE_RESERVED');
    }
  }
  const [good, bad] = await a.publishEach([fileWrite('/x'), { type: 'CoordinatorPlaced', metadata }]);
  t.false(good instanceof CoordinatorError);
  t.is((bad as CoordinatorError).code, 'EVENT_TYPE_RESERVED');
  // As a copy of one that was delivered is.
  t.is((await take(a, 1)).length, 1);
});

/** Its own lane, where a note that nobody of the coordinator has written stands behind what was lowered. */
const laneOf = (entries: readonly (readonly { id: string; code: number; payload?: Buffer; metadata?: object }[])[]) => {
  const events = entries.map((entry, at) => entry.map((event, offset) => ({ event: { payload: Buffer.alloc(0), metadata: null, hlc: 1n, ...event }, actor: 'a', index: BigInt(at + 1), offset, clock: {} }) as unknown as LaneEvent));
  let read = false;
  return {
    actor: 'a',
    unread: () => (read ? [] : [[{ name: 'a', member: 1n, incarnation: 0 }, 0n] as const]),
    isGone: () => false,
    before: (place: never) => place,
    notes: () => {
      if (read) return null;
      read = true;
      return events.flat().filter(({ event: { code } }) => code === DEGRADED || code === PLACED);
    },
    behind: async ({ index, offset }: { index: bigint; offset: number }, wanted: ReadonlySet<string>) => events.flat().filter((one) => one.index === index && one.offset > offset && wanted.has(one.event.id)),
    close: () => {},
  };
};
const degraded = (id: string, of: string) => ({ id, code: DEGRADED, payload: bytesOf(of), metadata: { group: 0, level: 'linearizable', rule: null } });
const placed = (id: string) => ({ id, code: PLACED, metadata: { through: { a: '999999' } } });
const file = (id: string) => ({ id, code: 0x0104 });

for (const [what, note, noticed] of [
  ['that all have their places is believed of the coordinator', placed(own()), 0],
  ['that all have their places is believed of nobody else', placed(newEventId()), 1],
] as const) {
  test.serial(what, async (t) => {
    const published: string[] = [];
    const placing = new Placing({
      quorum: { state: () => 'there' },
      catalogue: new Catalogue({}),
      ids,
      publish: async (notices) => {
        published.push(...notices.map(({ id }) => id as string));
        return notices.map(() => ({}) as Receipt);
      },
      keep: async () => {},
    });
    t.teardown(() => placing.close());
    const [event, other] = [newEventId(), newEventId()];
    const lane = laneOf([[degraded(own(), event), file(event)], [degraded(newEventId(), other), file(other)], [note]]);
    await new Unplaced(lane, placing).look();
    t.is(placing.waiting, noticed);
    await until('places', () => placing.waiting === 0);
    // And nobody else has lowered anything.
    t.deepEqual(published, noticed === 1 ? [event] : []);
  });
}

test.serial('until it is known what earlier lives have lowered, an event that might be such is not handed in', async (t) => {
  const placing = new Placing({ quorum: { state: () => 'unsure' }, catalogue: new Catalogue({}), ids, publish: async () => [], keep: async () => {} });
  const handed: (string | undefined)[] = [];
  const loss = lossOf({
    placing,
    firstLife: false,
    degrades: true,
    ordered: async (events) => {
      handed.push(...events.map(({ id }) => id));
      return events.map(() => ({}) as Receipt);
    },
  });
  t.teardown(() => {
    loss.close();
    placing.close();
  });
  const decision = { level: 'linearizable', rule: null, quorumSize: undefined, timeoutMs: undefined, onQuorumLoss: 'wait', lossRule: null } as const;
  const publish = (event: EventInput) => loss.publish([event], decision, {}, 0, null, false);
  const [lowered, other, nameless] = [fileWrite('/lowered'), fileWrite('/other'), { type: 'FilesystemWrite', path: '/nameless' }];
  for (const event of [lowered, other, nameless]) void publish(event).catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 60));
  t.deepEqual(handed, [undefined]);
  // One of them was: it goes on waiting, for its place.
  placing.expect(null, 0, [lowered.id]);
  placing.complete();
  await until('the other', () => handed.length > 1);
  await new Promise((resolve) => setTimeout(resolve, 60));
  t.deepEqual(handed, [undefined, other.id]);
});

test.serial('of what was lowered nobody is told that it was not written, while it waits for its place or may do so', async (t) => {
  let state: 'lost' | 'there' = 'lost';
  const quorum = { state: () => state };
  const placing = new Placing({ quorum, catalogue: new Catalogue({}), ids, publish: () => new Promise(() => {}), keep: async () => {} });
  const loss = lossOf({
    quorum,
    placing,
    firstLife: false,
    degrades: true,
    causal: async (events) => events.map((_, offset) => ({ index: 1n, offset, clock: { a: '1' }, hlc: 1n, actor: 'a' }) as unknown as Receipt),
  });
  closeAfter(t, loss, placing);
  const decision = { level: 'linearizable', rule: null, quorumSize: undefined, timeoutMs: undefined, onQuorumLoss: 'degrade', lossRule: null } as const;
  const publish = (event: EventInput, options: PublishOptions = {}) => loss.publish([event], decision, { timeoutMs: 30, ...options }, 0, null, false);
  const told = (ended: Promise<unknown>) => ended.then(() => 'ok', ({ code, committed }: CoordinatorError) => `${code}/${committed}`);

  // What earlier lives have lowered is not known yet, though this one has committed something.
  state = 'there';
  await publish({ type: 'FilesystemWrite', path: '/nameless' });
  t.is(await told(publish(fileWrite('/x'))), 'TIMEOUT/unknown');
  t.is(await told(publish(fileWrite('/x'), { attempted: false })), 'TIMEOUT/no');
  placing.complete();

  const lowered = fileWrite('/lowered');
  state = 'lost';
  t.is(await told(publish(lowered)), 'ok');
  state = 'there';
  for (const options of [{}, { attempted: true }, { attempted: false }]) t.is(await told(publish(lowered, options)), 'TIMEOUT/unknown');
  t.is(await told(publish(lowered, { attempted: true, timeoutMs: 10_000, signal: AbortSignal.timeout(10) })), 'ABORTED/unknown');
  const last = told(publish(lowered, { attempted: true, timeoutMs: 10_000 }));
  loss.close();
  t.is(await last, 'CLOSED/unknown');
});

test.serial('what an earlier life may have handed in is not told to be nowhere, until this one has committed something', async (t) => {
  const placing = new Placing({ quorum: { state: () => 'there' }, catalogue: new Catalogue({}), ids, publish: async () => [], keep: async () => {} });
  placing.complete();
  let ended: () => Promise<Receipt[]> = () => Promise.reject(new CoordinatorError('TIMEOUT', 'its time is up', { committed: 'no' }));
  const ports = { placing, firstLife: false, degrades: false, ordered: () => ended() };
  const [loss, hopeless] = [lossOf(ports), lossOf({ ...ports, quorum: { state: () => 'lost' } })];
  t.teardown(() => {
    for (const one of [loss, hopeless]) one.close();
    placing.close();
  });
  const publish = (through: typeof loss, onQuorumLoss: 'wait' | 'fail', event: EventInput, options: PublishOptions = {}) => {
    const decision = { level: 'linearizable', rule: null, quorumSize: undefined, timeoutMs: undefined, onQuorumLoss, lossRule: null } as const;
    return through.publish([event], decision, options, 0, null, false).then(() => 'ok', ({ code, committed }: CoordinatorError) => `${code}/${committed}`);
  };
  const nameless = { type: 'FilesystemWrite', path: '/nameless' };
  t.is(await publish(loss, 'wait', fileWrite('/x')), 'TIMEOUT/unknown');
  t.is(await publish(loss, 'fail', fileWrite('/x')), 'TIMEOUT/unknown');
  t.is(await publish(loss, 'wait', fileWrite('/x'), { attempted: false }), 'TIMEOUT/no');
  t.is(await publish(loss, 'wait', nameless), 'TIMEOUT/no');
  t.is(await publish(hopeless, 'fail', fileWrite('/x')), 'QUORUM_LOST/unknown');
  t.is(await publish(hopeless, 'fail', nameless), 'QUORUM_LOST/no');
  const refused = ended;
  ended = async () => [{} as Receipt];
  t.is(await publish(loss, 'wait', nameless), 'ok');
  ended = refused;
  t.is(await publish(loss, 'wait', fileWrite('/x')), 'TIMEOUT/no');
  // Somebody knows better, and is believed from then on.
  const tried = fileWrite('/tried');
  t.is(await publish(loss, 'wait', tried, { attempted: true }), 'TIMEOUT/unknown');
  t.is(await publish(loss, 'wait', tried), 'TIMEOUT/unknown');
});

test.serial('what is in no session and follows the node\'s own gets its place behind what that has lowered', async (t) => {
  let state: 'lost' | 'there' = 'lost';
  const quorum = { state: () => state };
  const placed: (string | undefined)[] = [];
  const publishPlaces = async (notices: readonly EventInput[]) => {
    placed.push(...notices.map(({ id }) => id));
    return notices.map(() => ({}) as Receipt);
  };
  const placing = new Placing({ quorum, catalogue: new Catalogue({}), ids, publish: publishPlaces, keep: async () => {} });
  placing.complete();
  const handed: (string | undefined)[] = [];
  let index = 0n;
  const loss = lossOf({
    quorum,
    placing,
    firstLife: true,
    degrades: true,
    causal: async (events) => events.map((_, offset) => ({ index: ++index, offset, clock: { a: String(index) }, hlc: 1n, actor: 'a' }) as unknown as Receipt),
    ordered: async (events) => {
      handed.push(...events.map(({ id }) => id));
      return events.map(() => ({}) as Receipt);
    },
  });
  closeAfter(t, loss, placing);
  const decision = { level: 'linearizable', rule: null, quorumSize: undefined, timeoutMs: undefined, onQuorumLoss: 'degrade', lossRule: null } as const;
  const own = new SessionState(ids.next());
  const [first, apart, last, later] = ['/first', '/apart', '/last', '/later'].map((path) => fileWrite(path));
  await loss.publish([first!], decision, {}, 0, own, false);
  await loss.publish([apart!], decision, {}, 0, null, false, own);
  await loss.publish([last!], decision, {}, 0, own, false);
  state = 'there';
  const behind = [loss.publish([later!], decision, {}, 0, null, false, own)];
  t.deepEqual(handed, [], 'nothing of it stands in front of what was lowered before');
  await Promise.all(behind);
  t.deepEqual(placed, [first?.id, apart?.id, last?.id]);
  t.deepEqual(handed, [later?.id]);
});

test.serial('while an attempt may yet commit no other attempt of its event is told that it did not, whatever a lost quorum means', async (t) => {
  const placing = new Placing({ quorum: { state: () => 'there' }, catalogue: new Catalogue({}), ids, publish: async () => [], keep: async () => {} });
  const attempts: { end: (ending: Receipt | CoordinatorError) => void }[] = [];
  const loss = lossOf({
    placing,
    firstLife: true,
    degrades: false,
    ordered: () => new Promise((resolve, reject) => attempts.push({ end: (ending) => (ending instanceof CoordinatorError ? reject(ending) : resolve([ending])) })),
  });
  t.teardown(() => {
    loss.close();
    placing.close();
  });
  const ended = (committed: 'no' | 'unknown') => new CoordinatorError('TIMEOUT', 'its time is up', { committed });
  for (const onQuorumLoss of ['wait', 'fail'] as const) {
    const decision = { level: 'linearizable', rule: null, quorumSize: undefined, timeoutMs: undefined, onQuorumLoss, lossRule: null } as const;
    const event = fileWrite('/x');
    const publish = () => loss.publish([event], decision, {}, 0, null, false).then(() => 'ok', ({ code, committed }: CoordinatorError) => `${code}/${committed}`);
    const [first, beside] = [publish(), publish()];
    attempts[1]?.end(ended('no'));
    t.is(await beside, 'TIMEOUT/unknown', onQuorumLoss);
    attempts[0]?.end(ended('unknown'));
    t.is(await first, 'TIMEOUT/unknown');
    const again = publish();
    attempts[2]?.end(ended('no'));
    t.is(await again, 'TIMEOUT/unknown', onQuorumLoss);
    const last = publish();
    attempts[3]?.end({} as Receipt);
    t.is(await last, 'ok');
    const after = publish();
    attempts[4]?.end(ended('no'));
    t.is(await after, 'TIMEOUT/no', 'it has its place');
    attempts.length = 0;
  }
});
