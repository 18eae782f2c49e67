/** What happened before what: the graph of the causal lane, asked at real nodes. */
import test from 'ava';
import fc from 'fast-check';
import { newEventId } from '../dist/events/index.js';
import type { Coordinator, CoordinatorError, Delivery, Receipt } from '../dist/index.js';
import { collect, Graph, had, idsOf, keyOf, pathsOf, start } from './helpers/causality.js';
import { codeOf, fileWrite, take, until, writes } from './helpers/cluster.js';

const causal = { consistency: 'causal' } as const;

test.serial('a fork and a join: what came before is told from what came after and what did neither, at every node', async (t) => {
  const { cluster, nodes } = await start(t);
  const [a, b] = nodes;
  const root = await a.publish(fileWrite('/root'), causal);
  await had(b, [root]);
  // Cut off from each other, so that neither follows the other.
  await cluster.close('b');
  const left = await a.publish(fileWrite('/left'), causal);
  await cluster.close('a', 'c');
  await cluster.open('b');
  const right = await cluster.get('b').publish(fileWrite('/right'), causal);
  await cluster.open('a', 'c');
  await had(cluster.get('c'), [left, right]);
  const join = await cluster.get('c').publish(fileWrite('/join'), causal);
  const after = await cluster.get('c').publish(fileWrite('/after'), causal);
  for (const id of ['a', 'b', 'c']) {
    const { causality } = cluster.get(id);
    await had(cluster.get(id), [after]);
    const relations = await Promise.all([[root, left], [left, right], [right, left], [join, left], [root, join], [join, join]].map(([one, other]) => causality.relation((one as Receipt).eventId, (other as Receipt).eventId)));
    t.deepEqual(relations, ['before', 'concurrent', 'concurrent', 'after', 'before', 'same']);
    const causes = pathsOf(await collect(causality.causesOf(join.eventId)));
    t.is(causes[0], '/root');
    t.deepEqual(causes.slice(1).sort(), ['/left', '/right']);
    t.deepEqual(pathsOf(await collect(causality.causesOf(join.eventId, { direct: true }))).sort(), ['/left', '/right']);
    t.deepEqual(pathsOf(await collect(causality.causesOf(left.eventId, { direct: true }))), ['/root']);
    t.deepEqual(await collect(causality.causesOf(root.eventId)), []);
    t.deepEqual(pathsOf(await collect(causality.effectsOf(left.eventId))), ['/join', '/after']);
    t.deepEqual(pathsOf(await collect(causality.effectsOf(root.eventId, { direct: true }))).sort(), ['/left', '/right']);
    t.deepEqual(pathsOf(await collect(causality.effectsOf(right.eventId, { direct: true }))), ['/join']);
    t.deepEqual(pathsOf(await collect(causality.concurrentWith(left.eventId))), ['/right']);
    t.deepEqual(await collect(causality.concurrentWith(join.eventId)), []);
    t.deepEqual(pathsOf(await collect(causality.causesOf(join.eventId, { where: { path: '/r*' } }))), ['/root', '/right']);
    t.deepEqual(pathsOf(await collect(causality.causesOf(after.eventId, { where: { path: '/root' }, direct: true }))), ['/root']);
    t.true(await causality.causesOf(join.eventId).complete());
  }
});

test.serial('a session that moves takes what it has done with it; events of one entry follow each other', async (t) => {
  const { nodes: [a, b, c] } = await start(t);
  const here = a.session();
  const batch = await here.publishBatch(writes(5, '/batch'), causal);
  const there = b.session({ after: here.context as string });
  const moved = await there.publish(fileWrite('/moved'), causal);
  await had(c, [moved]);
  t.is(await c.causality.relation(batch[1]?.eventId as string, batch[3]?.eventId as string), 'before');
  t.is(await c.causality.relation(moved.eventId, batch[4]?.eventId as string), 'after');
  t.deepEqual(pathsOf(await collect(c.causality.causesOf(batch[3]?.eventId as string))), ['/batch/0', '/batch/1', '/batch/2']);
  t.deepEqual(pathsOf(await collect(c.causality.causesOf(batch[3]?.eventId as string, { direct: true }))), ['/batch/2']);
  t.deepEqual(pathsOf(await collect(c.causality.effectsOf(batch[3]?.eventId as string))), ['/batch/4', '/moved']);
  t.deepEqual(pathsOf(await collect(c.causality.effectsOf(batch[0]?.eventId as string, { direct: true }))), ['/batch/1']);
  t.deepEqual(pathsOf(await collect(c.causality.causesOf(moved.eventId))), [0, 1, 2, 3, 4].map((at) => `/batch/${at}`));
});

test.serial('streams go on from a cursor, stop when they are left, and end with an error where the node closes', async (t) => {
  const { nodes: [a] } = await start(t);
  const batch = await a.publishBatch(writes(3000, '/x', 1000), causal);
  // An entry that does not come in one piece.
  t.is((await collect(a.causality.causesOf(batch[2500]?.eventId as string))).length, 2500);
  t.is((await collect(a.causality.effectsOf(batch[2500]?.eventId as string))).length, 499);
  t.deepEqual(pathsOf(await collect(a.causality.causesOf(batch[2500]?.eventId as string, { direct: true }))), ['/x/2499']);
  const last = await a.publish(fileWrite('/last'), causal);
  const whole = idsOf(await collect(a.causality.causesOf(last.eventId)));
  t.is(whole.length, 3000);
  const half: Delivery[] = [];
  for await (const delivery of a.causality.causesOf(last.eventId)) if (half.push(delivery) === 1234) break;
  const rest = await collect(a.causality.causesOf(last.eventId, { from: (half.at(-1) as Delivery).cursor }));
  t.deepEqual([...idsOf(half), ...idsOf(rest)], whole);
  const [first] = half as [Delivery];
  const effects = await collect(a.causality.effectsOf(first.event.id));
  t.is(effects.length, 3000);
  t.deepEqual(idsOf(await collect(a.causality.effectsOf(first.event.id, { from: (effects[99] as Delivery).cursor }))), idsOf(effects.slice(100)));
  // What comes after it was asked is not waited for, and not given.
  const [asked, paths] = [a.causality.effectsOf(batch[2500]?.eventId as string, { bufferBytesMax: 4096 }), [] as (string | null)[]];
  for await (const { event } of asked) if (paths.push(event.path) === 1) await a.publishBatch(writes(10, '/later'), causal);
  t.deepEqual([paths.length, paths.at(-1)], [500, '/last']);
  t.deepEqual(await collect(a.causality.causesOf(last.eventId, { signal: AbortSignal.abort() })), []);
  t.is(await codeOf(a.causality.relation(last.eventId, last.eventId, { signal: AbortSignal.abort() })), 'ABORTED');
  const open = a.causality.causesOf(last.eventId, { bufferBytesMax: 4096 })[Symbol.asyncIterator]();
  t.false((await open.next()).done);
  await a.close();
  t.is(await codeOf((async () => { while ((await open.next()).done !== true); })()), 'CLOSED');
  t.throws(() => a.causality.causesOf(last.eventId), { code: 'CLOSED' });
});

test.serial('what cannot be asked is refused with its reason', async (t) => {
  const { nodes: [a, b] } = await start(t, { eventTypes: { Mine: 0x1001 } });
  const one = await a.publish(fileWrite('/one'), causal);
  const ordered = await a.publish(fileWrite('/ordered'));
  const { causality } = a;
  t.is(await codeOf(causality.relation(one.eventId, 'nonsense')), 'INVALID_EVENT_ID');
  t.is(await codeOf(causality.relation(newEventId(), one.eventId)), 'NOT_FOUND');
  await t.throwsAsync(causality.relation(one.eventId, ordered.eventId), { code: 'NOT_FOUND', message: /ordered lane/ });
  await t.throwsAsync(collect(causality.causesOf(newEventId())), { code: 'NOT_FOUND' });
  await t.throwsAsync(causality.effectsOf(newEventId()).complete(), { code: 'NOT_FOUND' });
  t.throws(() => causality.causesOf('nonsense'), { code: 'INVALID_EVENT_ID' });
  t.throws(() => causality.causesOf(null as never), { code: 'INVALID_EVENT_ID' });
  t.throws(() => causality.causesOf(one.eventId, { where: { type: 'NoSuchType' } }), { code: 'UNKNOWN_EVENT_TYPE' });
  t.throws(() => causality.causesOf(one.eventId, { where: { path: [] } }), { code: 'FILTER_INVALID' });
  t.throws(() => causality.causesOf(one.eventId, { from: 'nonsense!' }), { code: 'CURSOR_INVALID' });
  t.throws(() => causality.causesOf(one.eventId, { from: ordered.cursor }), { code: 'CURSOR_INVALID', message: /ordered lane/ });
  t.throws(() => causality.causesOf(one.eventId, { from: one.cursor, direct: true }), { code: 'USAGE' });
  t.throws(() => causality.concurrentWith(one.eventId, { direct: true } as never), { code: 'USAGE' });
  t.is(await codeOf(causality.relation({ id: one.eventId, cursor: ordered.cursor }, one.eventId)), 'CURSOR_INVALID');
  // Changes of CRDTs are the coordinator's own: shown to whoever names them.
  await a.crdt.counter('hits').increment(1);
  const two = await a.publish(fileWrite('/two'), causal);
  await had(b, [two]);
  t.deepEqual(pathsOf(await collect(b.causality.causesOf(two.eventId))), ['/one']);
  t.deepEqual(pathsOf(await collect(b.causality.causesOf(two.eventId, { direct: true }))), ['/one']);
  t.deepEqual((await collect(b.causality.causesOf(two.eventId, { where: { type: 'CoordinatorCrdtDelta' } }))).length, 1);
});

test.serial('an event that was handed in at two members while they were apart is one, whatever knew of it where', async (t) => {
  const { cluster } = await start(t);
  const twice = fileWrite('/twice');
  await cluster.close('b', 'c');
  const atA = await cluster.get('a').publish(twice, causal);
  const knowsA = await cluster.get('a').publish(fileWrite('/knows-a'), causal);
  await cluster.close('a');
  await cluster.open('b');
  const before = await cluster.get('b').publish(fileWrite('/before-b'), causal);
  const atB = await cluster.get('b').publish(twice, causal);
  const knowsB = await cluster.get('b').publish(fileWrite('/knows-b'), causal);
  t.deepEqual([atA.duplicate, atB.duplicate], [false, false]);
  await cluster.open('a', 'c');
  const all = [knowsA, knowsB];
  for (const id of ['a', 'b', 'c']) {
    await had(cluster.get(id), all);
    const { causality } = cluster.get(id);
    t.deepEqual(pathsOf(await collect(causality.causesOf(knowsA.eventId))), ['/twice']);
    t.deepEqual(pathsOf(await collect(causality.causesOf(knowsB.eventId))).sort(), ['/before-b', '/twice']);
    t.deepEqual(pathsOf(await collect(causality.causesOf(twice.id))), ['/before-b']);
    t.deepEqual(pathsOf(await collect(causality.effectsOf(twice.id))).sort(), ['/knows-a', '/knows-b']);
    t.deepEqual(pathsOf(await collect(causality.effectsOf(before.eventId))).sort(), ['/knows-b', '/twice']);
    t.deepEqual(await collect(causality.concurrentWith(twice.id)), []);
    t.deepEqual(pathsOf(await collect(causality.concurrentWith(knowsA.eventId))).sort(), ['/before-b', '/knows-b']);
    t.is(await causality.relation(before.eventId, twice.id), 'before');
    t.is(await causality.relation(twice.id, knowsB.eventId), 'before');
    t.is(await causality.relation(twice.id, knowsA.eventId), 'before');
    t.is(await causality.relation(keyOf(atB), keyOf(knowsA)), 'before');
  }
});

test.serial('the graph is the same after a restart, and past the window an event is found by its cursor', async (t) => {
  const { cluster, nodes } = await start(t, { dedup: { windowEvents: 1000 } });
  const [a, b] = nodes;
  const first = await a.publish(fileWrite('/first'), causal);
  const batch = await b.publishBatch(writes(10, '/batch'), { ...causal, after: first.cursor });
  const second = await a.publish(fileWrite('/second'), { ...causal, after: batch[9]?.cursor as string });
  const asked = async (node: Coordinator): Promise<unknown> => [
    pathsOf(await collect(node.causality.causesOf(second.eventId))),
    pathsOf(await collect(node.causality.effectsOf(first.eventId))),
    await node.causality.relation(first.eventId, second.eventId),
  ];
  const answer = await asked(a);
  await cluster.close('a');
  await cluster.open('a');
  // At once: it waits until the lane has looked through its logs.
  t.deepEqual(await asked(cluster.get('a')), answer);
  const again = cluster.get('a');
  const last = (await again.publishBatch(writes(1000, '/more'), causal)).at(-1) as Receipt;
  t.is(await codeOf(again.causality.relation(first.eventId, last.eventId)), 'NOT_FOUND');
  t.is(await again.causality.relation(keyOf(first), last.eventId), 'before');
  t.is(await again.causality.relation(keyOf(batch[3] as Receipt), keyOf(batch[4] as Receipt)), 'before');
  t.is(await again.causality.relation({ id: first.eventId, cursor: last.cursor }, last.eventId).catch(({ code }) => code), 'NOT_FOUND');
  for (const delivery of await take(again, 5, { lane: 'causal', from: 'first' })) {
    t.is(await again.causality.relation({ id: delivery.event.id, cursor: delivery.cursor }, last.eventId), 'before');
  }
  t.deepEqual(pathsOf(await collect(again.causality.causesOf(keyOf(batch[2] as Receipt)))), ['/first', '/batch/0', '/batch/1']);
});

test.serial('what has gone from the logs is said to have gone', async (t) => {
  const { nodes } = await start(t, { retention: { events: 10 } });
  const [a] = nodes;
  const early = await a.publish(fileWrite('/early'), causal);
  const [oldest] = (await take(a, 1, { lane: 'causal', from: 'first' })) as [Delivery];
  t.true(await a.causality.causesOf(early.eventId).complete());
  let last = early;
  for (let at = 0; at < 300; at++) last = await a.publish(fileWrite(`/${at}`), causal);
  await until('the log to be cut', async () => (await codeOf(take(a, 1, { from: oldest.cursor }))) === 'CURSOR_COMPACTED');
  const causes = a.causality.causesOf(last.eventId);
  t.false(await causes.complete());
  const kept = pathsOf(await take(a, 1, { lane: 'causal', from: 'first' }));
  t.is(pathsOf(await collect(causes))[0], kept[0] as string);
  const direct = a.causality.causesOf(last.eventId, { direct: true });
  t.deepEqual(pathsOf(await collect(direct)), ['/298']);
  t.true(await direct.complete(), 'what has gone is followed by what was found');
  const none = a.causality.causesOf(last.eventId, { direct: true, where: { path: '/early' } });
  t.deepEqual([await collect(none), await none.complete()], [[], false]);
  const gone = (await t.throwsAsync(collect(a.causality.effectsOf(early.eventId)))) as CoordinatorError;
  t.is(gone.code, 'CURSOR_COMPACTED');
  t.is(typeof (gone.details as { oldestCursor: string }).oldestCursor, 'string');
  t.is(await codeOf(a.causality.relation(early.eventId, last.eventId)), 'CURSOR_COMPACTED');
  t.is(await codeOf(a.causality.relation({ id: newEventId(), cursor: early.cursor }, last.eventId)), 'CURSOR_COMPACTED');
  t.is(await codeOf(collect(a.causality.causesOf(last.eventId, { from: oldest.cursor }))), 'CURSOR_COMPACTED');
});

test.serial('random histories: every answer is the closure of single steps', async (t) => {
  t.timeout(150_000);
  const { nodes } = await start(t);
  const graph = new Graph();
  let run = 0;
  type Step = { readonly node: number; readonly kind: string; readonly of: number };
  const history = (...kinds: string[]) => fc.array(fc.array(fc.record({ node: fc.nat(2), kind: fc.constantFrom(...kinds), of: fc.nat(1000) }), { minLength: 1, maxLength: 5 }), { minLength: 2, maxLength: 8 });
  const property = async (rounds: readonly (readonly Step[])[], pick: number): Promise<void> => {
    const before = new Set(graph.events);
    const receipts: Receipt[] = [];
    run += 1;
    let count = 0;
    for (const steps of rounds) {
      // At once: whoever does not wait for another may not know of it.
      await Promise.all(
        steps.map(async ({ node: at, kind, of }) => {
          const node = nodes[at] as Coordinator;
          const path = `/${run}/${count++}`;
          const known = receipts.length === 0 ? undefined : receipts[of % receipts.length];
          const publishes =
            kind === 'batch'
              ? [{ node, made: node.publishBatch(writes(3, path), causal) }]
              : kind === 'twice'
                ? ((event) => [node, nodes[(at + 1) % 3] as Coordinator].map((one) => ({ node: one, made: one.publishBatch([event], causal) })))(fileWrite(path))
                : [{ node, made: node.publishBatch([fileWrite(path)], kind === 'eventual' ? { consistency: 'eventual' } : kind === 'after' && known ? { ...causal, after: known.cursor } : causal) }];
          for (const { node: one, made } of publishes) {
            for (const receipt of await made) {
              receipts.push(receipt);
              graph.add(one, receipt);
            }
          }
          if (kind === 'after' && known) t.is(await node.causality.relation(known.eventId, (await (publishes[0] as { made: Promise<Receipt[]> }).made)[0]?.eventId as string), 'before');
        }),
      );
    }
    for (const node of nodes) await had(node, receipts);
    const mine = graph.events.filter((event) => !before.has(event));
    const only = (events: readonly string[]): string[] => events.filter((event) => !before.has(event)).sort();
    const where = { path: `/${run}/**` };
    for (const node of nodes) {
      for (const at of [0, 1, 2, 3]) {
        const event = mine[(pick + at * 7) % mine.length] as string;
        const { causality } = node;
        const related = async (relation: 'before' | 'after' | 'concurrent', stream: AsyncIterable<Delivery>): Promise<void> => {
          const ids: string[] = [];
          for await (const delivery of stream) ids.push(delivery.event.id);
          t.deepEqual(ids.sort(), only(graph.related(event, relation)), relation);
        };
        await related('before', causality.causesOf(event, { where }));
        await related('after', causality.effectsOf(event, { where }));
        await related('concurrent', causality.concurrentWith(event, { where }));
        for (const other of mine.slice(0, 6)) t.is(await causality.relation(other, event), graph.relation(other, event));
      }
    }
  };
  const [a] = nodes;
  const direct = async (event: string, relation: 'before' | 'after'): Promise<string[]> =>
    idsOf(await collect(relation === 'before' ? a.causality.causesOf(event, { direct: true }) : a.causality.effectsOf(event, { direct: true }))).sort();
  const once = ['alone', 'batch', 'after', 'eventual'];
  await fc.assert(fc.asyncProperty(history(...once), fc.nat(1000), property), { numRuns: 6 });
  t.is(graph.doubled, 0);
  for (const event of graph.events) for (const relation of ['before', 'after'] as const) t.deepEqual(await direct(event, relation), graph.direct(event, relation).sort());
  await fc.assert(fc.asyncProperty(history(...once, 'twice'), fc.nat(1000), property), { numRuns: 8 });
  t.log(`${graph.events.length} events, ${graph.doubled} in more than one log`);
  for (const event of graph.events.filter((_, at) => at % 5 === 0)) {
    t.deepEqual(idsOf(await collect(a.causality.causesOf(event))).sort(), graph.related(event, 'before'));
    t.deepEqual(idsOf(await collect(a.causality.effectsOf(event))).sort(), graph.related(event, 'after'));
    t.deepEqual(idsOf(await collect(a.causality.concurrentWith(event))).sort(), graph.related(event, 'concurrent'));
    // Among those that stand twice one place of each decides.
    for (const relation of ['before', 'after'] as const) {
      const given = await direct(event, relation);
      t.true(graph.direct(event, relation).every((one) => given.includes(one)));
    }
  }
});
