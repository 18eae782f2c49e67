/** Logs of the causal lane that are cut (rule R11): what all members hold, what retention does not keep, and what states of CRDTs cover. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Coordinator, type CoordinatorError, type Delivery } from '../dist/index.js';
import { codeOf, Embedded, fileWrite, journalOf, sleep, startWhenFree, take, until } from './helpers/cluster.js';

const causal = { consistency: 'causal' } as const;
const first = { lane: 'causal', from: 'first' } as const;
/** Short logs: an entry in 64 is one that a log can begin with. */
const short = { retention: { events: 10 } } as const;
const pathsOf = (deliveries: readonly Delivery[]): (string | null)[] => deliveries.map(({ event }) => event.path);

/** One entry each. */
async function publish(node: Coordinator, count: number): Promise<void> {
  for (let at = 0; at < count; at++) await node.publish(fileWrite(`/${at}`), causal);
}

/** Whether a node has let go of the event behind a cursor. */
async function isGone(node: Coordinator, cursor: string): Promise<boolean> {
  return (await codeOf(take(node, 1, { from: cursor }))) === 'CURSOR_COMPACTED';
}

test.serial('what all members hold goes, and a reader of it is told where to go on', async (t) => {
  const cluster = await Embedded.start(t, short);
  const a = cluster.get('a');
  const event = { ...fileWrite('/first'), id: '01890000-0000-7000-8000-000000000001' };
  const { index } = await a.publish(event, causal);
  await publish(a, 30);
  const { cursor } = (await take(a, 1, first))[0] as Delivery;
  await cluster.close('c');
  await publish(a, 200);
  await sleep(1000);
  t.deepEqual(pathsOf(await take(a, 1, { from: cursor })), ['/0'], 'a member lacks it');
  await cluster.open('c');
  for (const node of cluster.nodes.values()) {
    await until('the log to be cut', () => isGone(node, cursor));
    const refused = (await t.throwsAsync(take(node, 1, { from: cursor }))) as CoordinatorError;
    const { oldestCursor } = refused.details as { oldestCursor: string };
    t.true(refused.message.includes(oldestCursor));
    const rest = pathsOf(await take(node, 20, { from: oldestCursor }));
    t.deepEqual(rest, pathsOf(await take(node, 20, first)));
    t.deepEqual(rest.map((path) => Number(path?.slice(1))), Array.from({ length: 20 }, (_, at) => Number(rest[0]?.slice(1)) + at));
  }
  // What has gone was written all the same.
  t.like(await a.publish(event, causal), { eventId: event.id, index, duplicate: true });
  t.like(await a.outcome(event.id), { state: 'committed' });
  const { cursor: last } = await a.publish(fileWrite('/last'), causal);
  await cluster.close('a');
  await cluster.open('a');
  t.deepEqual(pathsOf(await take(cluster.get('a'), 20, first)).length, 20);
  const next = await cluster.get('a').publish(fileWrite('/next'), { ...causal, after: last });
  t.like(next, { lane: 'causal', durableMembers: 1 });
});

/** Writes of which one is taken back, each an entry of its own. */
async function write(node: Coordinator, count: number): Promise<void> {
  await node.crdt.set('tags').add(`${node.nodeId} goes`, `${node.nodeId} stays`);
  await node.crdt.set('tags').delete(`${node.nodeId} goes`);
  for (let at = 0; at < count; at++) await node.crdt.counter('hits').increment(1);
}

const seen = ({ crdt }: Coordinator): unknown => [crdt.counter('hits').value(), crdt.set('tags').values()];
/** Entries of the lane that a node still has from the beginning on, of one origin. */
const begins = async (node: Coordinator, origin: string): Promise<bigint> => {
  for await (const { event, index } of node.subscribe({ ...first, where: { type: 'CoordinatorCrdtDelta' } })) if (event.origin === origin) return index;
  return 0n;
};

test.serial('CRDTs outlive their deltas, at members that come later too', async (t) => {
  const cluster = await Embedded.start(t, short, ['a', 'b', 'c'], ['d']);
  const [a, b] = [cluster.get('a'), cluster.get('b')];
  await Promise.all([write(a, 250), write(b, 250)]);
  const whole = [500, ['a stays', 'b stays']];
  await until('all to be equal', () => [...cluster.nodes.values()].every((node) => JSON.stringify(seen(node)) === JSON.stringify(whole)));
  await until('the logs to be cut', async () => {
    for (const node of cluster.nodes.values()) if ((await begins(node, 'a')) < 60n || (await begins(node, 'b')) < 60n) return false;
    return true;
  });
  await cluster.close('a', 'b', 'c');
  await cluster.open('a', 'b', 'c');
  for (const id of ['a', 'b', 'c']) t.deepEqual(seen(cluster.get(id)), whole);
  await cluster.leader();
  await startWhenFree(async () => {
    cluster.nodes.set('d', await Coordinator.start({ ...cluster.plan.config('d'), join: true }));
  });
  await cluster.get('a').members.add('d', cluster.plan.address('d'));
  const d = cluster.get('d');
  await until('the new member to have all', () => JSON.stringify(seen(d)) === JSON.stringify(whole));
  await until('it to have its say', () => d.status().lanes.causal.actor !== null);
  await d.crdt.set('tags').delete('a stays');
  await until('its word to be heard', () => [...cluster.nodes.values()].every(({ crdt }) => crdt.set('tags').size === 1));
});

const statesOf = (directory: string): string[] => readdirSync(directory).filter((name) => name.startsWith('snapshot-2147483648-') && name.endsWith('.snap')).sort();

/** Twice is not to be once undone. */
let flipped = 0;
function damage(directory: string, name: string): void {
  const path = join(directory, name);
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ (1 << (flipped++ % 8)), bytes.length >> 1);
  writeFileSync(path, bytes);
}

test.serial('damaged states are never taken for none: the ones before serve, or those of another member', async (t) => {
  const cluster = await Embedded.start(t, short);
  const whole = [400, ['a stays']];
  const directory = cluster.plan.dataDir('b');
  await write(cluster.get('a'), 200);
  await until('states', () => statesOf(directory).length > 0);
  for (let at = 0; at < 200; at++) await cluster.get('a').crdt.counter('hits').increment(1);
  await until('all to be equal', () => [...cluster.nodes.values()].every((node) => JSON.stringify(seen(node)) === JSON.stringify(whole)));
  await until('two states and a cut', async () => statesOf(directory).length === 2 && (await begins(cluster.get('b'), 'a')) > 60n);
  await cluster.close('b');
  damage(directory, statesOf(directory)[1] as string);
  await cluster.open('b');
  t.deepEqual(seen(cluster.get('b')), whole);
  await cluster.close('a', 'b', 'c');
  for (const name of statesOf(directory)) damage(directory, name);
  await cluster.open('b');
  t.is(await codeOf(Promise.resolve().then(() => cluster.get('b').crdt)), 'STATE_LOST');
  await cluster.open('a', 'c');
  await until('the states of others', () => JSON.stringify(seen(cluster.get('b'))) === JSON.stringify(whole));
});

test.serial('where the states of all are damaged, nobody takes what is left for all there was', async (t) => {
  const cluster = await Embedded.start(t, short);
  const ids = ['a', 'b', 'c'] as const;
  await write(cluster.get('a'), 400);
  await until('two states each and a cut', async () => {
    for (const id of ids) if (statesOf(cluster.plan.dataDir(id)).length < 2 || (await begins(cluster.get(id), 'a')) <= 60n) return false;
    return true;
  });
  await cluster.close(...ids);
  for (const directory of ids.map((id) => cluster.plan.dataDir(id))) for (const name of statesOf(directory)) damage(directory, name);
  await cluster.open(...ids);
  // Logs so long that they could go further, if states were there that cover them.
  await publish(cluster.get('a'), 300);
  for (const id of ids) t.is((await take(cluster.get(id), 300, { ...first, where: { path: '/*' } })).length, 300);
  await sleep(2000);
  for (const id of ids) t.is(await codeOf(Promise.resolve().then(() => cluster.get(id).crdt)), 'STATE_LOST', id);
});

test.serial('lowered events stay in the log until they have their places, also those that a restart has to look for', async (t) => {
  t.timeout(120_000);
  const levels = [{ name: 'soft', match: { path: '/soft/**' }, onQuorumLoss: 'degrade' as const }];
  // The log could be cut long before there is a leader.
  const cluster = await Embedded.start(t, { ...short, levels, raft: { electionTimeoutMs: [1500, 2500] } });
  await until('who writes where', () => cluster.get('a').status().lanes.causal.actor !== null);
  await cluster.close('b', 'c');
  const a = cluster.get('a');
  await until('no leader', () => a.status().leader === null);
  for (let at = 0; at < 300; at++) await a.publish(fileWrite(`/soft/${at}`), { timeoutMs: 60_000 });
  await cluster.open('b', 'c');
  const begins = async (): Promise<bigint> => ((await take(cluster.get('a'), 1, first))[0] as Delivery).index;
  // Restarted as soon as anything has gone, or all have their places.
  const placed = () => cluster.get('a').status().counters['placesWaiting'] === 0;
  await until('a cut or all places', async () => (await begins()) > 1n || placed());
  await cluster.close('a');
  await cluster.open('a');
  await cluster.leader();
  const again = cluster.get('a');
  const notices = async (): Promise<Set<string>> => {
    await again.readBarrier();
    const all = await take(again, (await journalOf(again)).length);
    return new Set(all.filter(({ event }) => event.type === 'CoordinatorPlace').map(({ event }) => event.id));
  };
  await until('all places', async () => (await notices()).size === 300, 15_000);
  // What has its place is let go of as anything else, as what comes behind it is. Of an actor that does not go on, since the others were late to
  // say that it may, the last block stays.
  await until('the log to be cut', async () => {
    await publish(again, 20);
    return (await begins()) > 256n;
  });
  t.is((await notices()).size, 300);
});
