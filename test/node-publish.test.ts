/** Publishing and asking: levels, quorums lost and found again, outcomes, identities, barriers, limits on what waits. */
import test from 'ava';
import { newEventId } from '../dist/events/index.js';
import { type Coordinator, CoordinatorError, type EventInput, type PublishOptions, type Receipt } from '../dist/index.js';
import { checkJournals, codeOf, Embedded, fileWrite, isBefore, journalOf, sleep, take, until, writes } from './helpers/cluster.js';

/** How a publish ended, for those that are meant to fail. */
async function failure(promise: Promise<unknown>): Promise<{ code: string; committed: string }> {
  const error = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return error instanceof CoordinatorError ? { code: error.code, committed: error.committed } : { code: String(error), committed: '' };
}

test.serial('each level on each member: the receipt names what was reached, and where', async (t) => {
  const cluster = await Embedded.start(t);
  const receipts: Receipt[] = [];
  for (const node of cluster.nodes.values()) {
    for (const consistency of ['sequential', 'strong', 'linearizable'] as const) {
      const receipt = await node.publish(fileWrite(`/${node.nodeId}/${consistency}`), { consistency });
      t.like(receipt, { level: consistency, requestedLevel: consistency, lane: 'ordered', group: 0, degraded: false, duplicate: false, clock: null });
      t.true(receipt.durableMembers >= 2 && receipt.latencyUs > 0);
      receipts.push(receipt);
    }
    const all = await node.publish(fileWrite(`/${node.nodeId}/all`), { consistency: 'strong', quorumSize: 'all' });
    t.is(all.durableMembers, 3);
    // All have applied it: it is readable everywhere at once.
    for (const reader of cluster.nodes.values()) t.is((await reader.read(all.eventId)).event.path, `/${node.nodeId}/all`);
    receipts.push(all);
  }
  t.true(receipts.every((receipt, at) => at === 0 || isBefore(receipts[at - 1] as Receipt, receipt)));
  await cluster.equal();
  checkJournals(t, await Promise.all([...cluster.nodes.values()].map(journalOf)), receipts);
});

test.serial('what cannot be served is refused with its code, and changes nothing', async (t) => {
  const cluster = await Embedded.start(t);
  const node = cluster.get('a');
  const refused: readonly [Record<string, unknown>, string][] = [
    [{ consistency: 'critical' }, 'CRITICAL_UNAVAILABLE'],
    [{ critical: true }, 'CRITICAL_UNAVAILABLE'],
    [{ consistency: 'serializable' }, 'UNKNOWN_LEVEL'],
    [{ consistency: '' }, 'UNKNOWN_LEVEL'],
    [{ group: 1 }, 'GROUP_UNKNOWN'],
    ...[0, 4, -1, 1.5, Number.NaN].map((quorumSize): [Record<string, unknown>, string] => [{ consistency: 'strong', quorumSize }, 'LEVEL_UNAVAILABLE']),
  ];
  for (const [options, code] of refused) {
    t.deepEqual(await failure(node.publish(fileWrite('/x'), options as PublishOptions)), { code, committed: 'no' }, JSON.stringify(options));
  }
  const bad: readonly [Record<string, unknown>, string][] = [
    [{ type: 'FilesystemWrit' }, 'UNKNOWN_EVENT_TYPE'],
    [{ type: 'FilesystemWrite', path: '/a\0b' }, 'PATH_INVALID'],
    [{ type: 'FilesystemWrite', path: `/${'x'.repeat(4096)}` }, 'PATH_INVALID'],
    [{ type: 'FilesystemWrite', payload: new Uint8Array(1024 * 1024 + 1) }, 'PAYLOAD_TOO_LARGE'],
    [{ type: 'FilesystemWrite', id: 'x' }, 'INVALID_EVENT_ID'],
  ];
  for (const [event, code] of bad) t.deepEqual(await failure(node.publish(event as unknown as EventInput)), { code, committed: 'no' });
  t.is(await codeOf(node.readBarrier({ group: 1 })), 'GROUP_UNKNOWN');
  t.is(await codeOf(node.outcome(newEventId(), { group: 1 })), 'GROUP_UNKNOWN');
  t.is(await codeOf(node.outcome('x')), 'INVALID_EVENT_ID');
  t.is(await codeOf(node.read(newEventId())), 'NOT_FOUND');
  t.throws(() => node.subscribe({ group: 1 }), { code: 'GROUP_UNKNOWN' });
  t.throws(() => node.subscribe({ from: 'cursor' }), { code: 'CURSOR_INVALID' });
  // A refusal uses up no place in the session: what follows is not held up.
  const mixed = await node.publishEach([fileWrite('/1'), { type: 'Nope' }, fileWrite('/2')]);
  t.deepEqual(mixed.map((one) => (one instanceof CoordinatorError ? one.code : 'receipt')), ['receipt', 'UNKNOWN_EVENT_TYPE', 'receipt']);
  const [one, two] = await take(node, 2);
  t.deepEqual([one?.event.sequence, two?.event.sequence], [1n, 2n]);
});

test.serial('an id is one event: the first receipt again, other bytes refused, from any session and member', async (t) => {
  const cluster = await Embedded.start(t);
  const [a, b, c] = ['a', 'b', 'c'].map((id) => cluster.get(id)) as [Coordinator, Coordinator, Coordinator];
  const event = { ...fileWrite('/same', 1000), metadata: { size: 1 } };
  const first = await a.publish(event);
  for (const again of [await a.publish(event), await b.publish(event, { session: null }), await c.session().publish(event)]) {
    t.like(again, { eventId: event.id, index: first.index, offset: first.offset, term: first.term, hlc: first.hlc, cursor: first.cursor, duplicate: true });
  }
  for (const other of [{ ...event, path: '/other' }, { ...event, payload: Buffer.alloc(1000, 1) }, { ...event, metadata: { size: 2 } }, { ...event, priority: 1 }]) {
    t.deepEqual(await failure(b.publish(other)), { code: 'EVENT_ID_REUSED', committed: 'no' });
  }
  const twice = fileWrite('/twice');
  const [one, two] = await c.publishBatch([twice, twice]);
  t.deepEqual([one?.duplicate, two?.duplicate, two?.index === one?.index, two?.offset === one?.offset], [false, true, true, true]);
  await cluster.equal();
  for (const node of cluster.nodes.values()) t.is((await journalOf(node)).length, 2);
  t.is(await codeOf(b.publish(fileWrite('/x'), { session: a.session() })), 'SESSION_EXPIRED');
});

test.serial('outcome: committed with its receipt, absent for good, unknown without a quorum', async (t) => {
  const cluster = await Embedded.start(t);
  const [a, b] = [cluster.get('a'), cluster.get('b')];
  const receipt = await a.publish(fileWrite('/known'));
  for (const node of cluster.nodes.values()) {
    const { state, receipt: found } = await node.outcome(receipt.eventId);
    t.is(state, 'committed');
    t.like(found, { eventId: receipt.eventId, index: receipt.index, offset: receipt.offset, term: receipt.term, cursor: receipt.cursor, hlc: receipt.hlc });
  }
  const absent = newEventId();
  t.deepEqual(await b.outcome(absent), { state: 'absent' });
  t.deepEqual(await a.outcome(absent), { state: 'absent' });
  for (const session of [undefined, null]) {
    t.deepEqual(await failure(a.publish({ ...fileWrite('/late'), id: absent }, session === null ? { session } : {})), { code: 'EVENT_FENCED', committed: 'no' });
  }
  await cluster.close('b', 'c');
  await until('no leader', () => a.status().leader === null);
  t.deepEqual(await a.outcome(newEventId(), { timeoutMs: 300 }), { state: 'unknown' });
  // What is known here needs nobody else.
  t.is((await a.outcome(receipt.eventId, { timeoutMs: 300 })).state, 'committed');
});

test.serial('without a quorum: TIMEOUT says that nothing was committed, and the session goes on when it is back', async (t) => {
  const cluster = await Embedded.start(t);
  const a = cluster.get('a');
  const session = a.session();
  const before = await session.publish(fileWrite('/before'));
  await cluster.close('b', 'c');
  await until('no leader', () => a.status().leader === null);
  t.is(a.status().lanes.ordered, 'no-quorum');
  t.is(a.status().health.state, 'degraded');
  const given = fileWrite('/given up');
  t.deepEqual(await failure(session.publish(given, { timeoutMs: 200 })), { code: 'TIMEOUT', committed: 'no' });
  t.deepEqual(await failure(a.publish(fileWrite('/no session'), { session: null, timeoutMs: 200 })), { code: 'TIMEOUT', committed: 'no' });
  t.deepEqual(await failure(session.publish(fileWrite('/aborted'), { signal: AbortSignal.timeout(100) })), { code: 'ABORTED', committed: 'no' });
  t.is(await codeOf(a.readBarrier({ timeoutMs: 200 })), 'TIMEOUT');
  t.is(await codeOf(a.readBarrier({ signal: AbortSignal.timeout(50) })), 'ABORTED');
  const waiting = session.publish(fileWrite('/waiting'), { timeoutMs: 60_000 });
  await cluster.open('b', 'c');
  const receipts = [before, await waiting, await session.publish(fileWrite('/after'))];
  // "No" was true: the event can be published again, and is new.
  const again = await session.publish(given);
  t.false(again.duplicate);
  await cluster.equal();
  const rows = await journalOf(cluster.get('b'));
  checkJournals(t, [rows, await journalOf(a)], [...receipts, again]);
  t.deepEqual(rows.map(({ path }) => path), ['/before', '/waiting', '/after', '/given up']);
});

test.serial('a barrier on one member sees what was published on another, also under a new leader', async (t) => {
  const cluster = await Embedded.start(t);
  for (let round = 0; round < 30; round++) {
    const nodes = [...cluster.nodes.values()];
    const receipt = await (nodes[round % 3] as Coordinator).publish(fileWrite(`/${round}`));
    const reader = nodes[(round + 1) % 3] as Coordinator;
    t.true((await reader.readBarrier()) >= receipt.index);
    t.is((await reader.read(receipt.cursor)).event.id, receipt.eventId);
  }
  const leader = await cluster.leader();
  const [reader, other] = (await cluster.followers()) as [Coordinator, Coordinator];
  const receipt = await leader.publish(fileWrite('/last'));
  await leader.close();
  cluster.nodes.delete(leader.nodeId);
  // Asked at once, while nobody may lead.
  t.true((await reader.readBarrier({ timeoutMs: 30_000 })) >= receipt.index);
  const next = await other.publish(fileWrite('/next'), { timeoutMs: 30_000 });
  t.true((await reader.readBarrier()) >= next.index);
  t.true(next.term > receipt.term);
});

test.serial('what waits is bounded: publishes wait for room in order, then BACKPRESSURE; all come through in the end', async (t) => {
  const cluster = await Embedded.start(t, { limits: { pendingBytesMax: 64 * 1024 } });
  const a = cluster.get('a');
  await cluster.close('b', 'c');
  await until('no leader', () => a.status().leader === null);
  const session = a.session();
  const published = writes(40, '/queued', 4000).map((event) => session.publish(event, { timeoutMs: 60_000 }));
  for (const one of published) one.catch(() => {});
  await sleep(50);
  t.true(a.status().counters['pendingBytes']! < 80 * 1024, `${a.status().counters['pendingBytes']} bytes wait in the core`);
  // Given up while they wait for room: at once, and for certain not committed.
  const abort = new AbortController();
  const aborted = failure(session.publish(fileWrite('/aborted'), { signal: abort.signal }));
  abort.abort();
  t.deepEqual(await aborted, { code: 'ABORTED', committed: 'no' });
  t.deepEqual(await failure(session.publish(fileWrite('/aborted before'), { signal: AbortSignal.abort() })), { code: 'ABORTED', committed: 'no' });
  t.deepEqual(await failure(session.publish(fileWrite('/late'), { timeoutMs: 200 })), { code: 'TIMEOUT', committed: 'no' });
  const more = Array.from({ length: 10_000 }, (_, at) => failure(session.publish(fileWrite(`/more/${at}`), { timeoutMs: 60_000 })));
  t.deepEqual(await Promise.race([...more]), { code: 'BACKPRESSURE', committed: 'no' });
  await cluster.open('b', 'c');
  const receipts = await Promise.all(published);
  const codes = (await Promise.all(more)).map(({ code }) => code);
  const refused = codes.filter((code) => code === 'BACKPRESSURE').length;
  t.true(refused > 0 && refused < 100, `${refused} of 10,000 were refused`);
  await cluster.equal();
  const rows = await journalOf(a);
  checkJournals(t, [rows, await journalOf(cluster.get('b'))], receipts);
  t.is(rows.length, 40 + 10_000 - refused);
  t.deepEqual(rows.slice(0, 40).map(({ path }) => path), Array.from({ length: 40 }, (_, at) => `/queued/${at}`));
  const numbers = rows.slice(40).map(({ path }) => Number(path?.slice('/more/'.length)));
  t.true(numbers.every((number, at) => at === 0 || number > (numbers[at - 1] as number)));
});
