/** The CRDTs of nodes: real processes' worth of members, sockets and disks, without a quorum where there is none. */
import test from 'ava';
import { type Coordinator, CrdtReplica } from '../dist/index.js';
import { codeOf, Embedded, fileWrite, sleep, take, until } from './helpers/cluster.js';

const ids = ['a', 'b', 'c'];
const nodesOf = (cluster: Embedded): Coordinator[] => ids.map((id) => cluster.get(id));

/** What one node sees of everything that these tests write. */
function seen({ crdt }: Coordinator): unknown {
  const scores = crdt.map('scores', { of: 'pn-counter' });
  return {
    hits: crdt.counter('hits').value(),
    grown: crdt.counter('grown', { type: 'g-counter' }).value(),
    title: crdt.register('title').get(),
    votes: crdt.multiRegister('votes').values().length,
    tags: crdt.set('tags').values(),
    once: crdt.set('once', { type: 'two-phase-set' }).values(),
    settings: crdt.map('settings').entries(),
    scores: scores.keys().map((key) => [key, scores.at(key).value()]),
  };
}

async function equal(t: { deepEqual(one: unknown, other: unknown): void }, nodes: readonly Coordinator[], settled: (node: Coordinator) => boolean): Promise<void> {
  await until('all to have heard', () => nodes.every(settled));
  await until('all to be equal', () => nodes.every((node) => JSON.stringify(seen(node)) === JSON.stringify(seen(nodes[0] as Coordinator))));
  for (const node of nodes) t.deepEqual(seen(node), seen(nodes[0] as Coordinator));
}

test.serial('what any node writes is there at once, on disk when it is answered, and at the others then', async (t) => {
  const cluster = await Embedded.start(t);
  const nodes = nodesOf(cluster);
  const receipts = await Promise.all(
    nodes.flatMap(({ nodeId, crdt }, at) => [
      crdt.counter('hits').increment(10 ** at),
      crdt.counter('grown', { type: 'g-counter' }).increment(at + 1),
      crdt.register('title').set(nodeId),
      crdt.multiRegister('votes').set(nodeId),
      crdt.set('tags').add('all', nodeId),
      crdt.set('once', { type: 'two-phase-set' }).add(at),
      crdt.map('settings').set(nodeId, { at }),
      crdt.map('scores', { of: 'pn-counter' }).at('x').increment(at),
    ]),
  );
  for (const receipt of receipts) t.like(receipt, { lane: 'causal', level: 'causal', durableMembers: 1 });
  await equal(t, nodes, ({ crdt }) => crdt.counter('hits').value() === 111 && crdt.map('settings').size === 3 && crdt.map('scores', { of: 'pn-counter' }).at('x').value() === 3);
  const [{ crdt }] = nodes as [Coordinator];
  t.deepEqual([crdt.counter('grown', { type: 'g-counter' }).value(), crdt.set('tags').values(), crdt.multiRegister('votes').values().length], [6, ['a', 'all', 'b', 'c'], 3]);
  t.is(await crdt.set('tags').delete('never there'), null);
});

test.serial('a restart brings everything back, and goes on as the same actor', async (t) => {
  const cluster = await Embedded.start(t);
  await until('who writes where', () => nodesOf(cluster).every((node) => node.status().lanes.causal.actor !== null));
  for (const { crdt, nodeId } of nodesOf(cluster)) await crdt.set('tags').add(nodeId, 'all');
  await until('all tags', () => nodesOf(cluster).every(({ crdt }) => crdt.set('tags').size === 4));
  await cluster.get('a').crdt.set('tags').delete('b');
  await until('the removal', () => nodesOf(cluster).every(({ crdt }) => crdt.set('tags').size === 3));
  const before = seen(cluster.get('b'));
  await cluster.close('b');
  const missed = cluster.get('a').crdt.counter('hits').increment(5);
  await missed;
  await cluster.open('b');
  const b = cluster.get('b');
  await until('what was missed', () => b.crdt.counter('hits').value() === 5);
  t.deepEqual((seen(b) as { tags: unknown }).tags, (before as { tags: unknown }).tags);
  await until('the actor to be known', () => b.status().lanes.causal.actor === 'b');
  const receipt = await b.crdt.counter('hits').increment(1);
  t.true(Object.keys(receipt?.clock ?? {}).includes('b'));
  await equal(t, nodesOf(cluster), ({ crdt }) => crdt.counter('hits').value() === 6);
});

test.serial('what is written right after a restart with a long log adds to what was written before it', async (t) => {
  for (const members of [['a'], ids]) {
    const cluster = await Embedded.start(t, {}, members);
    const before = cluster.get('a');
    await until('who writes', () => before.status().lanes.causal.actor !== null);
    await before.crdt.set('tags').add('goes', 'stays');
    await before.crdt.set('tags').delete('goes');
    await before.crdt.counter('hits').increment(100);
    // The lane reads 2 MiB of it a tick before it gives anything.
    const payload = Buffer.alloc(64 * 1024);
    const write = () => before.publish({ ...fileWrite('/long'), payload }, { consistency: 'causal' });
    for (let at = 0; at < 40; at++) await Promise.all(Array.from({ length: 16 }, write));
    await cluster.close('a');
    await cluster.open('a');
    const { crdt } = cluster.get('a');
    t.deepEqual([crdt.counter('hits').value(), crdt.set('tags').values()], [100, ['stays']]);
    const writes: Promise<unknown>[] = [];
    for (let at = 0; at < 50; at++) {
      writes.push(crdt.counter('hits').increment(1), crdt.set('tags').add(`new ${at}`));
      await sleep(2);
    }
    await Promise.all(writes);
    const all = () => members.map((id) => cluster.get(id).crdt).every((of) => of.counter('hits').value() === 150 && of.set('tags').size === 51);
    await until('all to have all', all);
    await cluster.close('a');
    await cluster.open('a');
    t.true(all());
  }
});

test.serial('without a quorum writes go on, apart and together again', async (t) => {
  const cluster = await Embedded.start(t);
  await cluster.close('b', 'c');
  const a = cluster.get('a');
  await Promise.all([a.crdt.set('tags').add('alone'), a.crdt.map('settings').assign(Array.from({ length: 200 }, (_, at) => [`key${at}`, at] as const))]);
  await cluster.close('a');
  await cluster.open('b');
  await cluster.get('b').crdt.set('tags').add('apart');
  await cluster.open('a', 'c');
  await equal(t, nodesOf(cluster), ({ crdt }) => crdt.set('tags').size === 2 && crdt.map('settings').size === 200);
});

test.serial('a write larger than an event is several, and listeners hear of what others write', async (t) => {
  const cluster = await Embedded.start(t);
  const [a, b] = nodesOf(cluster) as [Coordinator, Coordinator];
  const keys: unknown[] = [];
  b.crdt.map('big').onChange((change) => keys.push(...(change.keys ?? ['many'])));
  const value = (at: number): Uint8Array => Uint8Array.from({ length: 60_000 }, (_, byte) => (byte * 7 + at * 31 + (byte * byte) / 13) & 255);
  await a.crdt.map('big').assign(Array.from({ length: 60 }, (_, at) => [`${at}`, value(at)] as const));
  await until('all of it', () => b.crdt.map('big').size === 60);
  for (let at = 0; at < 60; at++) t.deepEqual(b.crdt.map('big').get(`${at}`), value(at));
  t.true(keys.length > 0);
  // Nobody sees the deltas who does not ask for them.
  const event = await a.publish(fileWrite('/seen'), { consistency: 'causal' });
  t.deepEqual((await take(b, 1, { lane: 'causal' })).map((delivery) => delivery.event.id), [event.eventId]);
  const [delta] = await take(b, 1, { lane: 'causal', where: { type: 'CoordinatorCrdtDelta' } });
  t.deepEqual(delta?.event.metadata, { name: 'big', type: 'lww-register', map: true });
});

test.serial('what is no delta is refused and told, and nothing else suffers', async (t) => {
  const cluster = await Embedded.start(t, {}, ['a']);
  const a = cluster.get('a');
  const refused: string[] = [];
  a.on('crdtRefused', ({ code }) => refused.push(code));
  const causal = { consistency: 'causal' } as const;
  await a.publish({ type: 'CoordinatorCrdtDelta', payload: Buffer.from('nothing'), metadata: { name: 'tags', type: 'or-set', map: false } }, causal);
  await a.publish({ type: 'CoordinatorCrdtDelta', payload: Buffer.from('nothing'), metadata: { name: 'tags', type: 'sets', map: false } }, causal);
  await a.publish({ type: 'CoordinatorCrdtDelta' }, causal);
  // What a replica without a node has made is as good as a node's own.
  const replica = new CrdtReplica({ actor: 'elsewhere' });
  replica.set('tags').add('from elsewhere');
  for (const { bytes, ...key } of replica.takeDeltas()) await a.publish({ type: 'CoordinatorCrdtDelta', payload: bytes, metadata: { ...key } }, causal);
  await until('the good one', () => a.crdt.set('tags').has('from elsewhere'));
  t.deepEqual(refused, ['CRDT_STATE_INVALID', 'CRDT_STATE_INVALID', 'CRDT_STATE_INVALID']);
  const { crdt } = a;
  await cluster.close('a');
  t.is(await codeOf(Promise.resolve().then(() => crdt.set('tags').add('late'))), 'CLOSED');
});
