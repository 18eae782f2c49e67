/** Events that are published again, of an attempt before that had an end or none: never twice, and told truly (rules R3, R4, R5). */
import test from 'ava';
import type { Coordinator, CoordinatorConfig, CoordinatorError, Delivery, Receipt } from '../dist/index.js';
import { codeOf, Embedded, fileWrite, journalOf, sleep, until, writes } from './helpers/cluster.js';

const CONFIG: Partial<CoordinatorConfig> = { levels: [{ name: 'soft', match: { path: '/soft/**' }, onQuorumLoss: 'degrade' }] };
const degraded = { level: 'causal', requestedLevel: 'linearizable', lane: 'causal', degraded: true, rule: 'levels.soft' } as const;

async function start(t: Parameters<typeof Embedded.start>[0], more: Partial<CoordinatorConfig> = {}): Promise<Embedded> {
  const cluster = await Embedded.start(t, { ...CONFIG, ...more });
  await until('who writes where', () => cluster.get('a').status().lanes.causal.actor !== null);
  return cluster;
}
async function leaveAlone(cluster: Embedded, id: string): Promise<void> {
  await cluster.close(...['a', 'b', 'c'].filter((other) => other !== id && cluster.nodes.has(other)));
  await until('no leader', () => cluster.get(id).status().leader === null);
}
const placed = (node: Coordinator): Promise<void> => until('places', () => node.status().counters.placesWaiting === 0);
const told = (publish: Promise<Receipt>): Promise<string> =>
  publish.then(
    ({ level }) => level,
    (error: CoordinatorError) => `${error.code}/${error.committed}`,
  );
/** Ids of what is in the causal lane now. */
async function laneOf(node: Coordinator): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const { event } of node.subscribe({ from: 'first', lane: 'causal', signal: AbortSignal.timeout(300) })) ids.add((event as Delivery['event']).id);
  return ids;
}

test.serial('what was handed to a leader is not lowered after a restart either', async (t) => {
  const cluster = await start(t);
  const leader = (await cluster.leader()).nodeId;
  const closing = leaveAlone(cluster, leader);
  const tries: { readonly event: ReturnType<typeof fileWrite>; readonly ended: Promise<string> }[] = [];
  for (let at = 0; at < 60; at++) {
    const event = fileWrite(`/soft/${at}`);
    tries.push({ event, ended: told(cluster.get(leader).publish(event, { session: null, timeoutMs: 1_500 })) });
    await sleep(10);
  }
  await closing;
  const open: (typeof tries)[number]['event'][] = [];
  for (const { event, ended } of tries) if ((await ended) === 'TIMEOUT/unknown') open.push(event);
  t.true(open.length > 0);
  const [one] = open as [(typeof open)[number]];
  t.is(await told(cluster.get(leader).publish(one, { session: null, timeoutMs: 300 })), 'TIMEOUT/unknown');
  await cluster.close(leader);
  await cluster.open(leader);
  const node = cluster.get(leader);
  for (const event of open.slice(0, 3)) t.is(await told(node.publish(event, { session: null, timeoutMs: 4_000 })), 'TIMEOUT/unknown');
  // What was tried nowhere is lowered all the same.
  t.is(await told(node.publish({ type: 'FilesystemWrite', path: '/soft/new' }, { session: null })), 'causal');
  t.is(await told(node.publish(fileWrite('/soft/vouched'), { session: null, attempted: false })), 'causal');
  await cluster.open(...['a', 'b', 'c'].filter((id) => id !== leader).slice(0, 1));
  await placed(node);
  for (const event of open.slice(0, 3)) await node.publish(event, { session: null });
  const ids = new Set((await journalOf(node)).map(({ id }) => id));
  const lane = await laneOf(node);
  for (const { id } of open.slice(0, 3)) t.true(ids.has(id) && !lane.has(id));
});

test.serial('what the order has is told where it stands, quorum or not', async (t) => {
  const cluster = await start(t);
  const a = cluster.get('a');
  const event = { ...fileWrite('/soft/committed', 100), metadata: { deep: [1, { b: 2, a: 1 }] } };
  const first = await a.publish(event);
  await leaveAlone(cluster, 'a');
  t.like(await a.publish(event), { duplicate: true, degraded: false, lane: 'ordered', index: first.index, offset: first.offset });
  t.is(await codeOf(a.publish({ ...event, flags: 1 })), 'EVENT_ID_REUSED');
  // Of a batch what is new is lowered.
  const [again, fresh] = await a.publishBatch([event, fileWrite('/soft/new')]);
  t.like(again, { duplicate: true, lane: 'ordered', index: first.index });
  t.like(fresh, degraded);
  // The quorum that it asks for cannot be asked.
  t.is(await told(a.publish(event, { consistency: 'strong', quorumSize: 'all', timeoutMs: 300, session: null })), 'TIMEOUT/unknown');
  await cluster.open('b', 'c');
  await placed(a);
  t.deepEqual([...(await laneOf(cluster.get('b')))], [fresh?.eventId]);
});

test.serial('the first receipt is told when the journal has let go of the notice, and where nobody remembers it', async (t) => {
  const cluster = await start(t, { raft: { electionTimeoutMs: [400, 800], snapshotThresholdEntries: 20, compactionThresholdEntries: 5 }, retention: { events: 40 } });
  const a = cluster.get('a');
  await leaveAlone(cluster, 'a');
  const event = fileWrite('/soft/x');
  const { index, offset } = await a.publish(event);
  // After a restart, and before there is a place.
  await cluster.close('a');
  await cluster.open('a');
  t.like((await cluster.get('a').outcome(event.id)).receipt, { ...degraded, duplicate: true, index, offset });
  await cluster.open('b', 'c');
  const node = cluster.get('a');
  await until('the place', () => node.status().counters.placesCommitted === 1);
  const at = (await journalOf(node)).find(({ id }) => id === event.id)?.index as bigint;
  await until('a cut', async () => {
    for (const one of writes(5, '/else')) await node.publish(one, { session: null });
    return [...cluster.nodes.values()].every((member) => (member.status().groups[0]?.firstIndex ?? 0n) > at);
  });
  for (const member of cluster.nodes.values()) {
    await until('the event', async () => (await laneOf(member)).has(event.id));
    t.like((await member.outcome(event.id)).receipt, { ...degraded, duplicate: true, index, offset });
    t.like(await member.publish(event, { session: null }), { ...degraded, duplicate: true, index, offset });
    t.is(await codeOf(member.publish({ ...event, flags: 1 }, { session: null })), 'EVENT_ID_REUSED');
  }
});
