/** The causal lane over real processes, sockets and disks: events without a quorum. */
import test from 'ava';
import { ApiClient, ApiServer, type Coordinator, CoordinatorError, type Delivery, type EventInput, type Receipt } from '../dist/index.js';
import { CausalPlace, CursorCodec } from '../dist/events/index.js';
import { codeOf, Embedded, fileWrite, persist, take, until, writes } from './helpers/cluster.js';

const causal = { consistency: 'causal' } as const;
const pathsOf = (deliveries: readonly Delivery[]): (string | null)[] => deliveries.map(({ event }) => event.path);

/** A cluster whose members have all said who the others were: each writes under its own name. */
async function named(t: Parameters<typeof Embedded.start>[0]): Promise<Embedded> {
  const cluster = await Embedded.start(t);
  await decided(cluster);
  return cluster;
}
const decided = (cluster: Embedded): Promise<void> => until('who writes where', () => [...cluster.nodes.values()].every((node) => node.status().lanes.causal.actor !== null));

const codeAndCommitted = async (publish: Promise<unknown>): Promise<unknown> => {
  const error = await publish.catch((error: unknown) => error);
  return error instanceof CoordinatorError ? { code: error.code, committed: error.committed } : error;
};

/** All events of the lane that a node has delivered, from the first on. */
const all = (node: Coordinator, count: number): Promise<Delivery[]> => take(node, count, { lane: 'causal', from: 'first' });

test.serial('a publish is acknowledged by one member and delivered at all, each origin in its order', async (t) => {
  const cluster = await named(t);
  const [a, b, c] = ['a', 'b', 'c'].map((id) => cluster.get(id)) as [Coordinator, Coordinator, Coordinator];
  const receipts = await Promise.all([a, b, c].flatMap((node) => Array.from({ length: 20 }, (_, at) => node.publish(fileWrite(`/${node.nodeId}/${at}`), causal))));
  for (const [at, receipt] of receipts.entries()) {
    t.like(receipt, { level: 'causal', requestedLevel: 'causal', lane: 'causal', durableMembers: 1, degraded: false, duplicate: false });
    t.is(receipt.clock?.[['a', 'b', 'c'][Math.floor(at / 20)] as string], receipt.index.toString());
  }
  for (const node of [a, b, c]) {
    const deliveries = await all(node, 60);
    for (const origin of ['a', 'b', 'c']) {
      t.deepEqual(pathsOf(deliveries.filter(({ event }) => event.origin === origin)), Array.from({ length: 20 }, (_, at) => `/${origin}/${at}`));
    }
    const byId = new Map(deliveries.map((delivery) => [delivery.event.id, delivery]));
    for (const receipt of receipts) {
      const { index, offset, clock, lane, level, event } = byId.get(receipt.eventId) as Delivery;
      t.deepEqual({ index, offset, clock, lane, level, hlc: event.hlc }, { index: receipt.index, offset: receipt.offset, clock: receipt.clock, lane: 'causal', level: 'causal', hlc: receipt.hlc });
    }
  }
  t.is(a.status().lanes.causal.actor, 'a');
});

test.serial('nothing is delivered before what happened before it, whoever reads it where', async (t) => {
  const cluster = await Embedded.start(t);
  const nodes = ['a', 'b', 'c'].map((id) => cluster.get(id)) as [Coordinator, Coordinator, Coordinator];
  // A conversation: each answers what it has read of the one before.
  for (let round = 0; round < 30; round++) {
    const speaker = nodes[round % 3] as Coordinator;
    const listener = nodes[(round + 1) % 3] as Coordinator;
    const receipt = await speaker.publish(fileWrite(`/${round}`), causal);
    for await (const delivery of listener.subscribe({ lane: 'causal', from: 'first' })) if (delivery.event.id === receipt.eventId) break;
  }
  for (const node of nodes) t.deepEqual(pathsOf(await all(node, 30)), Array.from({ length: 30 }, (_, round) => `/${round}`));
});

test.serial('without a quorum the lane goes on, and what was written meanwhile comes to the others', async (t) => {
  const cluster = await Embedded.start(t);
  const a = cluster.get('a');
  await a.publish(fileWrite('/before'), causal);
  await cluster.close('b');
  await cluster.close('c');
  const receipts = await a.publishBatch(writes(50, '/alone'), causal);
  t.true(receipts.every(({ lane, durableMembers }) => lane === 'causal' && durableMembers === 1));
  t.is(await codeOf(a.publish(fileWrite('/ordered'), { timeoutMs: 300 })), 'TIMEOUT');
  await cluster.open('b');
  const deliveries = await all(cluster.get('b'), 51);
  t.deepEqual(pathsOf(deliveries).slice(1), writes(50, '/alone').map(({ path }) => path ?? null));
});

test.serial('cursors go on behind their event at any member, filters pass over what does not fit', async (t) => {
  const cluster = await Embedded.start(t);
  const [a, b] = [cluster.get('a'), cluster.get('b')];
  await a.publishBatch(writes(10, '/a'), causal);
  const [last] = await b.publishBatch(writes(1, '/b'), { consistency: 'eventual' });
  const first = await all(a, 11);
  for (const at of [0, 4, 9]) {
    const { cursor } = first[at] as Delivery;
    const rest = await take(b, 10 - at, { from: cursor });
    // Events of several origins come in any order that respects their pasts.
    t.deepEqual(pathsOf(rest).sort(), pathsOf(first.slice(at + 1)).sort());
  }
  t.is(last?.level, 'eventual');
  const late = await a.publish(fileWrite('/late', 10), causal);
  t.deepEqual(pathsOf(await take(b, 1, { from: (first.at(-1) as Delivery).cursor, lane: 'causal' })), ['/late']);
  t.deepEqual(pathsOf(await take(b, 1, { lane: 'causal', from: 'first', where: { path: '/late' } })), ['/late']);
  const coming = take(a, 1, { from: late.cursor });
  await b.publish(fileWrite('/after-late'), causal);
  t.deepEqual(pathsOf(await coming), ['/after-late']);

  const ordered = await a.publish(fileWrite('/ordered'));
  t.throws(() => a.subscribe({ lane: 'causal', from: ordered.cursor }), { code: 'CURSOR_INVALID', message: /ordered lane/ });
  t.throws(() => a.subscribe({ lane: 'ordered', from: late.cursor }), { code: 'CURSOR_INVALID', message: /causal lane/ });
  t.throws(() => a.subscribe({ lane: 'causal', from: `${late.cursor.slice(0, -1)}${late.cursor.endsWith('A') ? 'B' : 'A'}` }), { code: 'CURSOR_INVALID' });
  t.throws(() => a.subscribe({ lane: 'causal', from: 'snapshot' }), { code: 'USAGE' });
  t.throws(() => a.subscribe({ lane: 'causal', consumer: 'x' }), { code: 'USAGE' });
  t.throws(() => a.subscribe({ lane: 'critical' as 'causal' }), { code: 'USAGE' });
});

const ID = '0190a1b2-0000-7000-8000-0000000000';

test.serial('an event that is published again is told where it stands, at whichever member, also after a restart', async (t) => {
  const cluster = await named(t);
  const [a, b] = [cluster.get('a'), cluster.get('b')];
  const event = { ...fileWrite('/once', 100), id: `${ID}01` };
  const first = await a.publish(event, causal);
  const places = ({ eventId, index, offset, term, clock, hlc, cursor, level, requestedLevel, lane }: Receipt) => ({ eventId, index, offset, term, clock, hlc, cursor, level, requestedLevel, lane });
  const again = await a.publish(event, causal);
  t.deepEqual(places(again), places(first));
  t.deepEqual([first.duplicate, again.duplicate], [false, true]);
  t.like(await a.publish(event, { consistency: 'eventual' }), { level: 'eventual', requestedLevel: 'eventual', index: first.index, duplicate: true });
  await all(b, 1);
  t.deepEqual(places(await b.publish(event, causal)), places(first));
  t.like(await codeAndCommitted(b.publish({ ...event, path: '/other' }, causal)), { code: 'EVENT_ID_REUSED', committed: 'no' });

  // Of a batch what is new is written, in its order.
  const batch = [{ ...fileWrite('/new'), id: `${ID}02` }, event, { ...fileWrite('/newer'), id: `${ID}03` }, { ...event, path: '/other' }, { ...fileWrite('/new'), id: `${ID}02` }];
  const [one, known, two, reused, twice] = (await b.publishEach(batch, causal)) as [Receipt, Receipt, Receipt, CoordinatorError, Receipt];
  t.deepEqual([one.offset, two.offset, known.index, twice.offset], [0, 1, first.index, 0]);
  t.deepEqual([one, known, two, twice].map(({ duplicate }) => duplicate), [false, true, false, true]);
  t.is(reused.code, 'EVENT_ID_REUSED');
  t.true(two.hlc > one.hlc);
  t.deepEqual(pathsOf(await all(a, 3)), ['/once', '/new', '/newer']);
  t.is(two.clock?.a, first.index.toString());

  t.is((await b.read(`${ID}03`)).event.path, '/newer');
  t.like(await b.outcome(`${ID}01`), { state: 'committed' });
  await cluster.close('b');
  await cluster.open('b');
  const later = await cluster.get('b').publish(event, causal);
  t.deepEqual(places(later), places(first));
  t.deepEqual(places(await cluster.get('b').publish(batch[2] as EventInput, causal)), places(two));
  // An event that was eventual is no more than that.
  const eventual = { ...fileWrite('/eventual'), id: `${ID}04` };
  await a.publish(eventual, { consistency: 'eventual' });
  t.like(await a.publish(eventual, causal), { level: 'eventual', requestedLevel: 'causal', duplicate: true });
});

test.serial('an event that was published at two members at once comes once to each reader, wherever that goes on', async (t) => {
  const cluster = await named(t);
  const [a, b, c] = ['a', 'b', 'c'].map((id) => cluster.get(id)) as [Coordinator, Coordinator, Coordinator];
  const events = Array.from({ length: 50 }, (_, at) => ({ ...fileWrite(`/${at}`), id: `${ID}${(at + 16).toString(16)}` }));
  const receipts = await Promise.all(events.flatMap((event) => [a.publish(event, causal), b.publish(event, causal)]));
  await a.publish(fileWrite('/last-a'), causal);
  await b.publish(fileWrite('/last-b'), causal);
  const written = receipts.filter(({ duplicate }) => !duplicate).length;
  t.log(`${written - events.length} of ${events.length} events were written twice`);
  for (const node of [a, b, c]) {
    const paths = pathsOf(await all(node, 52)).sort();
    t.deepEqual(paths, [...events.map(({ path }) => path as string), '/last-a', '/last-b'].sort());
  }
  const half = await all(a, 20);
  const rest = await take(c, 32, { from: (half.at(-1) as Delivery).cursor });
  t.deepEqual(pathsOf([...half, ...rest]).sort(), [...events.map(({ path }) => path as string), '/last-a', '/last-b'].sort());
});

test.serial('a member goes on as who it was when all others say that it may, and as another where one is silent', async (t) => {
  const cluster = await named(t);
  await cluster.get('a').publish(fileWrite('/1'), causal);
  await cluster.close('a');
  await cluster.open('a');
  await decided(cluster);
  const again = await cluster.get('a').publish(fileWrite('/2'), causal);
  t.deepEqual(again.clock, { a: '2' });
  await until('the status to tell', () => cluster.get('a').status().lanes.causal.actor === 'a');
  await cluster.close('c');
  await cluster.close('a');
  await cluster.open('a');
  const other = await cluster.get('a').publish(fileWrite('/3'), causal);
  const [actor] = Object.keys(other.clock ?? {}).filter((name) => name !== 'a') as [string];
  t.regex(actor, /^a~[0-9a-f]+$/);
  t.deepEqual(other.clock, { a: '2', [actor]: '1' });
  await until('the status to tell', () => cluster.get('a').status().lanes.causal.actor === actor);
  await cluster.open('c');
  for (const id of ['a', 'b', 'c']) t.deepEqual(pathsOf(await all(cluster.get(id), 3)), ['/1', '/2', '/3']);
});

test.serial('bad input is refused and leaves nothing', async (t) => {
  const cluster = await Embedded.start(t, {}, ['a']);
  const node = cluster.get('a');
  const refused = await node.publishEach([fileWrite('/ok'), { type: 'FilesystemWrite', path: 'x'.repeat(5000) }], causal);
  t.false(refused[0] instanceof CoordinatorError);
  t.is((refused[1] as CoordinatorError).code, 'PATH_INVALID');
  t.is(await codeOf(node.publish({ type: 'NoSuchType' }, causal)), 'UNKNOWN_EVENT_TYPE');
  t.is(await codeOf(node.publish(fileWrite('/x'), { ...causal, timeoutMs: 0 })), 'USAGE');
  t.is(await codeOf(node.publish(fileWrite('/x'), { ...causal, signal: AbortSignal.abort() })), 'ABORTED');
  t.is(await codeOf(node.publish(fileWrite('/x'), { ...causal, quorumSize: 2 })), 'USAGE');
  for (const attempted of ['false', 0, null]) t.is(await codeOf(node.publish(fileWrite('/x'), { ...causal, attempted: attempted as unknown as boolean })), 'USAGE');
  for (const bufferBytesMax of [0, -1, Number.NaN]) {
    t.throws(() => node.subscribe({ bufferBytesMax }), { code: 'USAGE' });
    t.throws(() => node.causality.causesOf('00000000-0000-4000-8000-000000000000', { bufferBytesMax }), { code: 'USAGE' });
  }
  await node.publish(fileWrite('/last'), causal);
  t.deepEqual(pathsOf(await all(node, 2)), ['/ok', '/last']);
  await until('the status to know', () => node.status().lanes.causal.origins[0]?.delivered === 2n);
});

test.serial('a session that moves to another member still reads its writes, and writes after them', async (t) => {
  const cluster = await Embedded.start(t);
  const [a, b, c] = ['a', 'b', 'c'].map((id) => cluster.get(id)) as [Coordinator, Coordinator, Coordinator];
  const here = a.session();
  t.is(here.context, null);
  for (let round = 0; round < 20; round++) {
    await here.publishBatch(writes(3, `/${round}`), causal);
    const there = b.session({ after: here.context as string });
    await there.publish(fileWrite(`/then/${round}`), causal);
    await c.readBarrier({ after: there.context as string });
    const paths = pathsOf(await all(c, (round + 1) * 4));
    t.deepEqual(paths.slice(-4), [...writes(3, `/${round}`).map(({ path }) => path as string), `/then/${round}`]);
    await a.readBarrier({ after: there.context as string });
  }
  await cluster.close('b');
  const ahead = await a.publish(fileWrite('/ahead'), causal);
  await cluster.close('a');
  await cluster.open('b');
  const b2 = cluster.get('b');
  // C has it, so that B will; what nobody has is waited for in vain.
  await b2.readBarrier({ after: ahead.cursor });
  const then = await c.publish(fileWrite('/y'), causal);
  t.is((await b2.publish(fileWrite('/x'), { ...causal, after: then.cursor, timeoutMs: 5000 })).level, 'causal');
  await cluster.close('c');
  const alone = await b2.publish(fileWrite('/alone'), causal);
  await cluster.close('b');
  await cluster.open('c');
  t.is(await codeOf(cluster.get('c').readBarrier({ after: alone.cursor, timeoutMs: 200 })), 'TIMEOUT');
  t.is(await codeOf(cluster.get('c').publish(fileWrite('/z'), { ...causal, after: alone.cursor, signal: AbortSignal.timeout(100) })), 'ABORTED');
  t.is(await codeOf(cluster.get('c').publish(fileWrite('/z'), { after: alone.cursor, timeoutMs: 200 })), 'TIMEOUT');
});

test.serial('all of it through the API', async (t) => {
  const cluster = await named(t);
  const [one, other] = await Promise.all(
    ['a', 'b'].map(async (id) => {
      const server = await ApiServer.start(cluster.get(id), { address: '127.0.0.1:0' });
      const client = new ApiClient(server.address);
      t.teardown(async () => {
        client.close();
        await server.close();
      });
      return client;
    }),
  );
  const receipt = await (one as ApiClient).publish(fileWrite('/one'), causal);
  t.like(receipt, { level: 'causal', lane: 'causal', clock: { a: '1' }, index: 1n });
  const next = await (other as ApiClient).publish(fileWrite('/next'), { ...causal, after: receipt.cursor });
  t.is(await codeOf((other as ApiClient).publish(fileWrite('/x'), { consistency: 'eventual', after: receipt.cursor })), 'USAGE');
  await (one as ApiClient).readBarrier({ after: next.cursor });
  const paths: (string | null)[] = [];
  const subscription = (one as ApiClient).subscribe({ from: 'first', lane: 'causal' });
  for await (const delivery of subscription) {
    paths.push(delivery.event.path);
    t.is(delivery.lane, 'causal');
    if (paths.length === 2) break;
  }
  t.deepEqual(paths, ['/one', '/next']);
  const status = await (one as ApiClient).status();
  t.deepEqual(status.lanes.causal.actor, 'a');
  await until('the status to know', async () => (await (one as ApiClient).status()).lanes.causal.origins.length === 2);
  t.is(await codeOf((one as ApiClient).publish(fileWrite('/x'), { ...causal, after: 'nonsense!' })), 'CURSOR_INVALID');
  t.is(await codeOf((one as ApiClient).readBarrier({ after: (await (one as ApiClient).publish(fileWrite('/ordered'))).cursor })), 'CURSOR_INVALID');
});

test.serial('a cursor names all that its event follows, also what a filter has left out', async (t) => {
  const cluster = await Embedded.start(t);
  const [a, b, c] = ['a', 'b', 'c'].map((id) => cluster.get(id)) as [Coordinator, Coordinator, Coordinator];
  const before = await a.publishBatch(writes(3, '/x'), causal);
  await b.publish(fileWrite('/y'), { ...causal, after: before[2]?.cursor as string });
  const [y] = (await take(c, 1, { lane: 'causal', where: { path: '/y' } })) as [Delivery];
  const end = await a.publish(fileWrite('/end'), { ...causal, after: y.cursor });
  t.deepEqual(pathsOf(await take(c, 1, { from: y.cursor })), ['/end']);
  await b.readBarrier({ after: end.cursor });
  t.deepEqual(pathsOf(await take(b, 1, { from: y.cursor })), ['/end']);
});

test.serial('publishes of a session keep their order, whatever they wait for', async (t) => {
  const cluster = await Embedded.start(t);
  const [a, b] = [cluster.get('a'), cluster.get('b')];
  const session = b.session();
  for (let round = 0; round < 10; round++) {
    const first = await a.publish(fileWrite(`/${round}`), causal);
    await Promise.all([session.publish(fileWrite(`/${round}/1`), { ...causal, after: first.cursor }), session.publish(fileWrite(`/${round}/2`), causal)]);
  }
  const paths = pathsOf(await all(b, 30)).filter((path) => (path as string).split('/').length === 3);
  t.deepEqual(paths, Array.from({ length: 20 }, (_, at) => `/${Math.floor(at / 2)}/${(at % 2) + 1}`));
  t.is(await codeOf(session.publish(fileWrite('/never'), { ...causal, after: 'AQEA' })), 'CURSOR_INVALID');
  t.is((await session.publish(fileWrite('/after all'), causal)).level, 'causal');
});

test.serial('a publish ends at its own time, whoever it waits behind, and no more wait than may', async (t) => {
  const cluster = await named(t);
  const a = cluster.get('a');
  const missing = CausalPlace.read(Buffer.from('0100000001000000000000000200000003000000000000' + '00', 'hex'));
  const after = new CursorCodec(a.config.clusterId).encodeCausal(missing.encode());
  const session = a.session();
  const [first, abort] = [new AbortController(), new AbortController()];
  const before = codeAndCommitted(session.publish(fileWrite('/first'), { ...causal, after, signal: first.signal }));
  t.deepEqual(await codeAndCommitted(session.publish(fileWrite('/short'), { ...causal, timeoutMs: 50 })), { code: 'TIMEOUT', committed: 'no' });
  const aborted = codeAndCommitted(session.publish(fileWrite('/aborted'), { ...causal, signal: abort.signal }));
  abort.abort();
  t.deepEqual(await aborted, { code: 'ABORTED', committed: 'no' });
  const last = session.publish(fileWrite('/last'), causal);
  first.abort();
  t.deepEqual(await before, { code: 'ABORTED', committed: 'no' });
  t.is((await last).level, 'causal');
  t.deepEqual(pathsOf(await all(a, 1)), ['/last'], 'and nothing that ended is written');

  const many = new AbortController();
  const waiting = Array.from({ length: 10_000 }, () => codeAndCommitted(a.publish(fileWrite('/many'), { ...causal, session: null, after, signal: many.signal })));
  t.deepEqual(await codeAndCommitted(a.publish(fileWrite('/more'), { ...causal, session: null, after })), { code: 'BACKPRESSURE', committed: 'no' });
  many.abort();
  t.deepEqual(new Set((await Promise.all(waiting)).map((ended) => JSON.stringify(ended))).size, 1);
});

test.serial('whoever was removed acknowledges nothing more, before it is sure that it was', async (t) => {
  const cluster = await Embedded.start(t, {}, ['a', 'b', 'c']);
  const c = cluster.get('c');
  let failed = false;
  c.on('failed', () => {
    failed = true;
  });
  await c.publish(fileWrite('/before'), causal);
  // Until all have said what they have of the lane.
  await persist('the removal', async () => (await cluster.leader()).members.remove('c'));
  await until('it to be refused', async () => (await codeOf(c.publish(fileWrite('/after'), causal))) === 'MEMBER_REMOVED');
  // Its own log may have said so first: then it is sure at once. The others' word alone is believed only much later.
  const saysItself = c.status().members.some(({ id, role }) => id === 'c' && role === 'removed');
  t.log(saysItself ? 'its own log said so' : 'the others said so');
  t.true(saysItself || !failed);
  t.is(await codeOf(c.crdt.counter('x').increment(1)), 'MEMBER_REMOVED');
});
