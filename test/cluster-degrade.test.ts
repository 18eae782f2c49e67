/** What becomes of ordered publishes when a quorum is really gone (rule R5), and when it is there again. */
import test from 'ava';
import { ApiClient, ApiServer, type Coordinator, type CoordinatorConfig, CoordinatorError, type Delivery, type Receipt } from '../dist/index.js';
import { codeOf, Embedded, fileWrite, journalOf, sleep, take, until, writes } from './helpers/cluster.js';

const CONFIG: Partial<CoordinatorConfig> = {
  levels: [
    { name: 'soft', match: { path: '/soft/**' }, onQuorumLoss: 'degrade' },
    { name: 'hard', match: { path: '/hard/**' }, onQuorumLoss: 'fail' },
  ],
};
const PLACE = { where: { type: 'CoordinatorPlace' } } as const;
const degraded = { level: 'causal', requestedLevel: 'linearizable', lane: 'causal', degraded: true, rule: 'levels.soft', durableMembers: 1 } as const;

/** Member a alone, which knows that it is. */
async function alone(t: Parameters<typeof Embedded.start>[0], config = CONFIG): Promise<Embedded> {
  const cluster = await Embedded.start(t, config);
  await until('who writes where', () => cluster.get('a').status().lanes.causal.actor !== null);
  await cluster.close('b', 'c');
  await until('no leader', () => cluster.get('a').status().leader === null);
  return cluster;
}
const counters = (node: Coordinator, ...names: string[]) => names.map((name) => node.status().counters[name]);
const placed = (node: Coordinator): Promise<void> => until('places', () => counters(node, 'placesWaiting')[0] === 0);
const notices = async (node: Coordinator): Promise<Delivery[]> => {
  await node.readBarrier();
  const all = await journalOf(node);
  return take(node, all.length).then((deliveries) => deliveries.filter(({ event }) => event.type === 'CoordinatorPlace'));
};

test.serial('fail fails at once, wait waits, degrade goes to the causal lane and says so', async (t) => {
  const cluster = await alone(t);
  const a = cluster.get('a');
  t.is(await codeOf(a.publish(fileWrite('/hard/first'))), 'QUORUM_LOST');
  let sinceMs = performance.now();
  const lost = (await a.publish(fileWrite('/hard/1')).catch((thrown: unknown) => thrown)) as CoordinatorError;
  t.true(performance.now() - sinceMs < 500, 'an established loss fails at once');
  t.like(lost, { code: 'QUORUM_LOST', committed: 'no' });
  sinceMs = performance.now();
  const late = (await a.publish(fileWrite('/else'), { timeoutMs: 400, session: null }).catch((thrown: unknown) => thrown)) as CoordinatorError;
  t.true(performance.now() - sinceMs >= 400);
  t.like(late, { code: 'TIMEOUT', committed: 'no' });

  const receipt = await a.publish(fileWrite('/soft/1'));
  t.like(receipt, { ...degraded, clock: { a: receipt.index.toString() } });
  t.like(await a.publish(fileWrite('/soft/2'), { consistency: 'strong', quorumSize: 'all' }), { ...degraded, requestedLevel: 'strong' });
  const refused = await a.publishEach([fileWrite('/soft/3'), { type: 'FilesystemWrite', path: 'no' }, fileWrite('/hard/2'), { type: 'FilesystemWrite', path: '/soft/4' }]);
  t.deepEqual(refused.map((ending) => (ending instanceof CoordinatorError ? ending.code : ending.rule)), ['levels.soft', 'PATH_INVALID', 'QUORUM_LOST', 'levels.soft']);
  t.is(await codeOf(a.publishBatch([fileWrite('/soft/5'), { type: 'FilesystemWrite', path: '/soft/\0' }])), 'PATH_INVALID');
  t.deepEqual((await take(a, 4, { lane: 'causal' })).map(({ event }) => event.path), ['/soft/1', '/soft/2', '/soft/3', '/soft/4']);
  t.deepEqual(counters(a, 'consistencyViolations', 'placesWaiting', 'placesCommitted'), [4, 4, 0]);
  t.true(a.status().health.reasons.some((reason) => /wait for their places in the order: 4/.test(reason)));
});

test.serial('once there is a quorum each has its place, once, and a later publish of its session comes behind it', async (t) => {
  const cluster = await alone(t);
  const a = cluster.get('a');
  const [session, other] = [a.session(), a.session()];
  const first = await session.publish(fileWrite('/soft/1'));
  // It waits behind the place; those behind it degrade only when it has come to its end.
  const waits = session.publish(fileWrite('/else'), { timeoutMs: 30_000 });
  const free = await other.publishBatch(writes(3, '/soft/other'));
  t.is(await codeOf(Promise.race([waits, sleep(300).then(() => Promise.reject(new Error('waits')))])), 'Error: waits');
  await cluster.open('b', 'c');
  const ordered = await waits;
  t.like(ordered, { level: 'linearizable', degraded: false });
  await placed(a);
  for (const id of ['a', 'b', 'c']) {
    const node = cluster.get(id);
    const found = await notices(node);
    t.deepEqual(found.map(({ event }) => event.id).sort(), [first, ...free].map(({ eventId }) => eventId).sort());
    const [own] = found.filter(({ event }) => event.id === first.eventId) as [Delivery];
    t.true(own.index < ordered.index || (own.index === ordered.index && own.offset < ordered.offset));
    t.is(own.event.path, '/soft/1');
    t.like(own.event.metadata, { actor: 'a', index: first.index.toString(), offset: first.offset, level: 'linearizable', rule: 'levels.soft' });
    t.deepEqual(found.filter(({ event }) => event.path?.startsWith('/soft/other')).map(({ event }) => event.path), ['/soft/other/0', '/soft/other/1', '/soft/other/2']);
    // Never a second copy: the event is in the causal lane alone.
    t.deepEqual((await take(node, 4, { lane: 'causal' })).map(({ event }) => event.path), ['/soft/1', '/soft/other/0', '/soft/other/1', '/soft/other/2']);
    const { duplicate: _, latencyUs: __, term: ___, ...said } = { ...JSON.parse(JSON.stringify(first)) };
    t.like(JSON.parse(JSON.stringify((await node.outcome(first.eventId)).receipt, (_key, value) => (typeof value === 'bigint' ? value.toString() : value))), { ...said, duplicate: true });
    t.like((await node.read(first.eventId)).event, { type: 'FilesystemWrite', path: '/soft/1' });
  }
  t.deepEqual(counters(a, 'consistencyViolations', 'placesWaiting', 'placesCommitted'), [4, 0, 4]);
});

test.serial('a retry under its id gets the first receipt, at any member; another event under it is refused', async (t) => {
  const cluster = await alone(t);
  const a = cluster.get('a');
  const event = { ...fileWrite('/soft/1', 100), metadata: { b: 1, a: [null, 'x'] }, flags: 5, sourceId: 2n ** 64n - 1n };
  const first = await a.publish(event);
  const { index, offset, cursor } = first;
  // Without a quorum too, and it is the same event all the time.
  t.like(await a.publish(event, { session: null }), { ...degraded, duplicate: true, index, offset, cursor });
  t.is(await codeOf(a.publish({ ...event, flags: 6 })), 'EVENT_ID_REUSED');
  t.like((await a.outcome(event.id)).receipt, { ...degraded, index, offset });
  t.is((await take(a, 1, { lane: 'causal' }))[0]?.event.id, event.id);
  await cluster.open('b', 'c');
  // Before it has its place: it waits for that, and makes no second one.
  t.like(await a.publish(event, { session: null }), { ...degraded, duplicate: true, index, offset, cursor });
  await placed(a);
  for (const id of ['a', 'b', 'c']) {
    const node = cluster.get(id);
    await node.readBarrier();
    const again = await node.publish(event);
    t.like(again, { ...degraded, duplicate: true, eventId: first.eventId, index: first.index, offset: first.offset, hlc: first.hlc, cursor: first.cursor });
    t.deepEqual(again.clock, first.clock);
    t.is(await codeOf(node.publish({ ...event, flags: 6 })), 'EVENT_ID_REUSED');
    t.is((await notices(node)).length, 1);
  }
});

test.serial('places come after a restart too, and only once', async (t) => {
  const cluster = await alone(t);
  const receipts = await cluster.get('a').publishBatch(writes(20, '/soft'));
  await cluster.close('a');
  // Not a word of it at the others, before a is there again.
  await cluster.open('b', 'c');
  t.is((await notices(cluster.get('b'))).length, 0);
  await cluster.open('a');
  await until('places', async () => (await notices(cluster.get('b'))).length === 20);
  await placed(cluster.get('a'));
  t.deepEqual((await notices(cluster.get('c'))).map(({ event }) => event.id), receipts.map(({ eventId }) => eventId));
  t.deepEqual(counters(cluster.get('a'), 'placesCommitted', 'placesWaiting'), [20, 0]);
  // Whoever has met the writer can name the event's own cursor.
  await take(cluster.get('b'), 20, { lane: 'causal' });
  const again = await cluster.get('b').publish({ ...fileWrite('/soft/0'), id: receipts[0]?.eventId as string });
  t.like(again, { duplicate: true, degraded: true, index: receipts[0]?.index as bigint, cursor: receipts[0]?.cursor as string });
  // It was noted that they have their places: the next start has nothing to do.
  await until('the note', async () => (await take(cluster.get('b'), 1, { lane: 'causal', where: { type: 'CoordinatorPlaced' }, signal: AbortSignal.timeout(100) })).length === 1);
  await cluster.close('a');
  await cluster.open('a');
  await cluster.leader();
  await sleep(500);
  t.deepEqual(counters(cluster.get('a'), 'placesCommitted', 'placesWaiting'), [0, 0]);
  t.is((await notices(cluster.get('a'))).length, 20);
});

test.serial('what was handed to a leader is never lowered, whatever became of it', async (t) => {
  const cluster = await Embedded.start(t, CONFIG);
  const leader = await cluster.leader();
  const others = (await cluster.followers()).map(({ nodeId }) => nodeId);
  const told = new Map<string, Receipt | CoordinatorError>();
  const publishing: Promise<void>[] = [];
  const closing = cluster.close(...others);
  let lowered = false;
  for (let round = 0; round < 400 && !lowered; round++) {
    const event = fileWrite(`/soft/${round}`);
    const ended = leader.publish(event, { session: null, timeoutMs: 4_000 }).then(
      (receipt) => {
        lowered ||= receipt.degraded;
        told.set(event.id, receipt);
      },
      (error: CoordinatorError) => {
        told.set(event.id, error);
      },
    );
    publishing.push(ended);
    await sleep(10);
  }
  await Promise.all([closing, ...publishing]);
  const endings = [...told.values()];
  const kinds = new Set(endings.map((ending) => (ending instanceof CoordinatorError ? `${ending.code}/${ending.committed}` : ending.level)));
  t.log([...kinds].map((kind) => `${kind}: ${endings.filter((ending) => (ending instanceof CoordinatorError ? `${ending.code}/${ending.committed}` : ending.level) === kind).length}`).join(', '));
  t.true(lowered && kinds.has('TIMEOUT/unknown'));
  const isLowered = (ending: Receipt | CoordinatorError): boolean => !(ending instanceof CoordinatorError) && ending.degraded;
  const lane = await take(leader, endings.filter(isLowered).length, { lane: 'causal' });
  t.deepEqual(new Set(lane.map(({ event }) => event.id)), new Set([...told].filter(([, ending]) => isLowered(ending)).map(([id]) => id)));
  await cluster.open(...others);
  await placed(leader);
  const ids = (await journalOf(leader)).map(({ id }) => id);
  t.is(new Set(ids).size, ids.length);
  for (const [id, ending] of told) if (isLowered(ending)) t.true(ids.includes(id));
});

test.serial('groups have places of their own, and callers of the API have theirs', async (t) => {
  const cluster = await alone(t, { ...CONFIG, groups: 2 });
  const a = cluster.get('a');
  const server = await ApiServer.start(a, { address: '127.0.0.1:0' });
  const client = new ApiClient(server.address);
  t.teardown(async () => {
    client.close();
    await server.close();
  });
  await until('no leader', () => a.status().groups.every(({ leader }) => leader === null));
  const receipt = await client.publish(fileWrite('/soft/api'), { group: 1 });
  t.like(receipt, { ...degraded, group: 0 });
  t.is(await codeOf(client.publish(fileWrite('/hard/api'))), 'QUORUM_LOST');
  await cluster.open('b', 'c');
  await placed(a);
  const [notice] = await take(cluster.get('b'), 1, { ...PLACE, group: 1 });
  t.is(notice?.event.id, receipt.eventId);
  t.is((await a.outcome(receipt.eventId, { group: 1 })).state, 'committed');
});

test.serial('adaptive publishes are lowered as others are, where their bounds allow it', async (t) => {
  const cluster = await alone(t, { levels: [{ name: 'soft', match: { path: '/soft/**' }, weakest: 'causal', strongest: 'strong', onQuorumLoss: 'degrade' }, { name: 'firm', match: { path: '/firm/**' }, weakest: 'sequential', strongest: 'strong', onQuorumLoss: 'fail' }] });
  const a = cluster.get('a');
  t.like(await a.publish(fileWrite('/soft/1')), { level: 'causal', requestedLevel: 'causal', degraded: false, rule: 'levels.soft' });
  // Only an ordered level would show it to a majority in time, and there is none.
  t.like(await a.publish(fileWrite('/soft/2'), { consistency: 'adaptive', maxStalenessMs: 1_000 }), { ...degraded, requestedLevel: 'sequential' });
  t.is(await codeOf(a.publish(fileWrite('/firm/1'), { consistency: 'adaptive' })), 'QUORUM_LOST');
  t.deepEqual(counters(a, 'consistencyViolations'), [1]);
});
