/** Across the lanes (rule R6): ordered events that follow causal ones, over real processes, sockets and disks. */
import test from 'ava';
import { ApiClient, ApiServer, type Coordinator, CoordinatorError, type Delivery, type Receipt } from '../dist/index.js';
import { CausalPlace, CursorCodec } from '../dist/events/index.js';
import { codeOf, Embedded, fileWrite, journalOf, sleep, take, until, writes } from './helpers/cluster.js';

const causal = { consistency: 'causal' } as const;

/** Ordered deliveries from the first on; each finds delivered what `follows` says of its path. */
async function readsInOrder(t: Parameters<typeof Embedded.start>[0], node: Coordinator, count: number, follows: ReadonlyMap<string | null, Receipt>): Promise<Delivery[]> {
  const deliveries: Delivery[] = [];
  for await (const delivery of node.subscribe({ from: 'first' })) {
    const before = follows.get(delivery.event.path);
    // It was delivered before: nothing is waited for.
    if (before !== undefined) await t.notThrowsAsync(node.readBarrier({ after: before.cursor, timeoutMs: 1 }), `${delivery.event.path} at ${node.nodeId}`);
    if (deliveries.push(delivery) === count) break;
  }
  return deliveries;
}

test.serial('an ordered event comes after the causal one that it follows, at every member, whichever they were published at', async (t) => {
  const cluster = await Embedded.start(t);
  const nodes = ['a', 'b', 'c'].map((id) => cluster.get(id)) as [Coordinator, Coordinator, Coordinator];
  const follows = new Map<string | null, Receipt>();
  const reading = nodes.map((node) => readsInOrder(t, node, 30, follows));
  for (let round = 0; round < 30; round++) {
    const before = await (nodes[round % 3] as Coordinator).publish(fileWrite(`/causal/${round}`), causal);
    follows.set(`/ordered/${round}`, before);
    const receipt = await (nodes[(round + round % 2) % 3] as Coordinator).publish(fileWrite(`/ordered/${round}`), { after: before.cursor });
    t.like(receipt, { lane: 'ordered', level: 'linearizable', degraded: false });
  }
  const paths = Array.from({ length: 30 }, (_, round) => `/ordered/${round}`);
  for (const deliveries of await Promise.all(reading)) t.deepEqual(deliveries.map(({ event }) => event.path), paths);
});

test.serial('the member that wrote the causal event may be gone: a majority has it, and gives it to whoever lacks it', async (t) => {
  const cluster = await Embedded.start(t);
  const [a, b] = [cluster.get('a'), cluster.get('b')];
  await until('who writes where', () => a.status().lanes.causal.actor !== null);
  await cluster.close('c');
  await cluster.leader();
  const before = await a.publish(fileWrite('/causal'), causal);
  const ordered = await a.publish(fileWrite('/ordered'), { after: before.cursor });
  await cluster.close('a');
  // Whoever was away has neither, and the dead one's log from another.
  await cluster.open('c');
  const follows = new Map<string | null, Receipt>([['/ordered', before]]);
  for (const node of [b, cluster.get('c')]) {
    t.is((await readsInOrder(t, node, 1, follows))[0]?.index, ordered.index);
    t.is((await take(node, 1, { lane: 'causal', from: 'first' }))[0]?.event.id, before.eventId);
  }
});

test.serial('history and named consumers wait as well, also after a restart and at a member that joins', async (t) => {
  const cluster = await Embedded.start(t, {}, ['a', 'b', 'c'], ['d']);
  const a = cluster.get('a');
  const follows = new Map<string | null, Receipt>();
  for (let round = 0; round < 20; round++) {
    const before = await a.publish(fileWrite(`/causal/${round}`, 1000), causal);
    follows.set(`/ordered/${round}`, before);
    await a.publish(fileWrite(`/ordered/${round}`), { after: before.cursor });
  }
  await cluster.close('a', 'b', 'c');
  await cluster.open('a', 'b', 'c');
  await cluster.leader();
  for (const id of ['a', 'b', 'c']) t.is((await readsInOrder(t, cluster.get(id), 20, follows)).length, 20);
  const consumed: Delivery[] = [];
  for await (const delivery of cluster.get('b').subscribe({ from: 'first', consumer: 'x' })) {
    await t.notThrowsAsync(cluster.get('b').readBarrier({ after: (follows.get(delivery.event.path) as Receipt).cursor, timeoutMs: 1 }));
    await delivery.ack();
    if (consumed.push(delivery) === 20) break;
  }
  await cluster.get('a').members.add('d', cluster.plan.address('d'));
  await cluster.open('d');
  t.is((await readsInOrder(t, cluster.get('d'), 20, follows)).length, 20);
});

test.serial('a session’s ordered events follow what it has written in the causal lane, unasked', async (t) => {
  const cluster = await Embedded.start(t);
  const [a, b] = [cluster.get('a'), cluster.get('b')];
  const session = a.session();
  const follows = new Map<string | null, Receipt>();
  const reading = readsInOrder(t, b, 20, follows);
  for (let round = 0; round < 20; round++) {
    // The second does not wait for the first: it is behind it all the same.
    const first = session.publish(fileWrite(`/causal/${round}`), causal);
    const second = session.publish(fileWrite(`/ordered/${round}`));
    follows.set(`/ordered/${round}`, await first);
    await second;
  }
  t.is((await reading).length, 20);
  // Its events keep their order, whatever they wait for.
  const all = await Promise.all(writes(40, '/mixed').map((event, at) => session.publish(event, at % 3 === 0 ? causal : {})));
  const ordered = all.filter(({ lane }) => lane === 'ordered').map(({ eventId }) => eventId);
  const journal = (await journalOf(a)).map(({ id }) => id).filter((id) => ordered.includes(id));
  t.deepEqual(journal, ordered);
});

test.serial('what a majority does not have is waited for, to the publish’s deadline, and nothing is committed', async (t) => {
  const cluster = await Embedded.start(t);
  const [a, b] = [cluster.get('a'), cluster.get('b')];
  await until('who writes where', () => a.status().lanes.causal.actor !== null);
  await cluster.close('b', 'c');
  const before = await a.publish(fileWrite('/causal'), causal);
  await cluster.close('a');
  await cluster.open('b', 'c');
  await cluster.leader();
  const event = fileWrite('/ordered');
  const error = await cluster.get('b').publish(event, { after: before.cursor, timeoutMs: 500, attempted: false }).catch((thrown: unknown) => thrown);
  t.true(error instanceof CoordinatorError);
  t.like(error, { code: 'TIMEOUT', committed: 'no' });
  // Nobody else waits.
  t.is((await cluster.get('b').publish(fileWrite('/else'), { timeoutMs: 10_000 })).lane, 'ordered');
  // Nor does anything come of what waits while its node is restarted.
  const restarted = fileWrite('/restarted');
  const waiting = cluster.get('b').publish(restarted, { after: before.cursor }).catch((thrown: unknown) => (thrown as CoordinatorError).code);
  await sleep(100);
  await cluster.close('b');
  t.is(await waiting, 'CLOSED');
  await cluster.open('b');
  await cluster.open('a');
  await cluster.leader();
  const receipt = await cluster.get('b').publish(event, { after: before.cursor });
  t.false(receipt.duplicate);
  t.false((await cluster.get('c').publish(restarted, { after: before.cursor })).duplicate);
  t.is(b.nodeId, 'b');
  const follows = new Map([['/ordered', before], ['/restarted', before]]);
  t.deepEqual((await readsInOrder(t, cluster.get('c'), 3, follows)).map(({ event }) => event.path), ['/else', '/ordered', '/restarted']);
});

test.serial('who names no session waits for nobody else’s `after`, and follows what was written without one all the same', async (t) => {
  const cluster = await Embedded.start(t);
  const [a, b] = [cluster.get('a'), cluster.get('b')];
  await cluster.leader();
  const never = new CursorCodec(a.clusterId).encodeCausal(CausalPlace.first.after([[{ member: 1n, incarnation: 2 }, 3n]]).encode());
  for (const consistency of ['linearizable', 'causal'] as const) {
    const waits = codeOf(a.publish(fileWrite('/never'), { consistency, after: never, timeoutMs: 3_000 }));
    t.like(await a.publish(fileWrite('/else'), { consistency, timeoutMs: 2_000 }), { duplicate: false });
    t.is(await waits, 'TIMEOUT');
  }
  // Of two writes of the causal lane without a session, one names what it follows: what is published next comes behind both.
  const follows = new Map<string | null, Receipt>();
  const reading = readsInOrder(t, b, 21, follows);
  for (let round = 0; round < 10; round++) {
    const first = await b.publish(fileWrite(`/causal/${round}`), causal);
    const second = await a.publish(fileWrite(`/behind/${round}`), { ...causal, after: first.cursor });
    follows.set(`/ordered/${round}`, second);
    await a.publish(fileWrite(`/ordered/${round}`));
    const third = await a.publish(fileWrite(`/again/${round}`), causal);
    follows.set(`/named/${round}`, third);
    await a.publish(fileWrite(`/named/${round}`), { after: first.cursor });
  }
  t.is((await reading).length, 21);
});

test.serial('over the network, with cursors of the wrong kind', async (t) => {
  const cluster = await Embedded.start(t);
  const [a, b] = [cluster.get('a'), cluster.get('b')];
  const server = await ApiServer.start(b, { address: '127.0.0.1:0' });
  t.teardown(() => server.close());
  const client = new ApiClient(server.address);
  t.teardown(() => client.close());
  const before = await a.publish(fileWrite('/causal'), causal);
  const receipt = await client.publish(fileWrite('/ordered'), { after: before.cursor });
  t.is(receipt.lane, 'ordered');
  const seen: string[] = [];
  for await (const { event } of client.subscribe({ from: 'first' })) {
    seen.push(event.id);
    break;
  }
  t.deepEqual(seen, [receipt.eventId]);
  await t.notThrowsAsync(client.readBarrier({ after: before.cursor, timeoutMs: 1_000 }));
  t.is(await codeOf(client.publish(fileWrite('/no'), { after: receipt.cursor })), 'CURSOR_INVALID');
  t.is(await codeOf(a.publish(fileWrite('/no'), { after: 'nonsense!' })), 'CURSOR_INVALID');
  // The node's own session has written by now; and a cursor with the right check may still name what there cannot be.
  const forged = new CursorCodec(a.clusterId);
  const actor = '010000000000000002000000';
  const [row, part] = [`${actor}ffffffffffffffff`, `${actor}00000000`];
  const places = ['', '0000', '01000000', `01000100${row}${part}`, `00000200${part}${part}`];
  for (const cursor of [receipt.cursor, forged.encode({ group: 9, index: 2n ** 64n - 1n, offset: 1 }), ...places.map((hex) => forged.encodeCausal(Buffer.from(hex, 'hex')))]) {
    for (const consistency of ['causal', 'linearizable'] as const) {
      t.is(await codeOf(a.publish(fileWrite('/no'), { consistency, after: cursor })), 'CURSOR_INVALID', cursor);
      t.is(await codeOf(a.session().publish(fileWrite('/no'), { consistency, after: cursor })), 'CURSOR_INVALID', cursor);
      t.is(await codeOf(client.publish(fileWrite('/no'), { consistency, after: cursor })), 'CURSOR_INVALID', cursor);
    }
    await t.throwsAsync(client.readBarrier({ after: cursor }), { code: 'CURSOR_INVALID', message: /^the (cursor|place of a cursor) /i }, cursor);
    t.throws(() => a.session({ after: cursor }), { code: 'CURSOR_INVALID' }, cursor);
    t.throws(() => a.subscribe({ lane: 'causal', from: cursor }), { code: 'CURSOR_INVALID', message: /^the (cursor|place of a cursor) /i }, cursor);
  }
  // A part of an entry is the whole of it.
  const [first] = await a.publishBatch(writes(3, '/batch'), causal);
  t.is((await a.publish(fileWrite('/part'), { after: (first as Receipt).cursor })).lane, 'ordered');
});

test.serial('a lowered event follows what its publish names, and is not lowered before that is there', async (t) => {
  const soft = { levels: [{ name: 'soft', match: { path: '/soft/**' }, onQuorumLoss: 'degrade' as const }] };
  const cluster = await Embedded.start(t, soft, ['a', 'b', 'c', 'd']);
  const b = cluster.get('b');
  await until('who writes where', () => ['a', 'b'].every((id) => cluster.get(id).status().lanes.causal.actor !== null));
  await cluster.close('b', 'c', 'd');
  const before = await cluster.get('a').publish(fileWrite('/causal'), causal);
  await cluster.close('a');
  await cluster.open('b');
  t.is(b.nodeId, 'b');
  const event = fileWrite('/soft/one');
  const error = await cluster.get('b').publish(event, { after: before.cursor, attempted: false, timeoutMs: 3_000 }).catch((thrown: unknown) => thrown);
  t.true(error instanceof CoordinatorError);
  t.like(error, { code: 'TIMEOUT', committed: 'no' });
  t.is(cluster.get('b').status().counters.consistencyViolations, 0);
  await cluster.open('a');
  // Its directory has no more of it than the other's: it is in the lane, and two of four are no majority.
  const receipt = await cluster.get('b').publish(event, { after: before.cursor, attempted: false });
  t.like(receipt, { lane: 'causal', degraded: true, duplicate: false });
  t.true(Object.keys(before.clock ?? {}).every((actor) => BigInt(receipt.clock?.[actor] ?? 0) >= BigInt(before.clock?.[actor] as string)));
  t.is(await codeOf(cluster.get('b').publish(fileWrite('/soft/no'), { after: 'nonsense!' })), 'CURSOR_INVALID');
  // Its place comes behind it, everywhere.
  await cluster.open('c');
  await cluster.leader();
  t.like((await readsInOrder(t, cluster.get('c'), 1, new Map([['/soft/one', receipt]])))[0]?.event, { id: event.id });
});
