/** Subscriptions (rule R8): order, filters, cursors, slow readers, named consumers and who holds them. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import type { Coordinator, Delivery, Where } from '../dist/index.js';
import { codeOf, Embedded, fileWrite, journalOf, sleep, take, until, writes } from './helpers/cluster.js';

const MIB = 1024 * 1024;
const WARM = 30_000;
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const paths = (deliveries: readonly Delivery[]): (string | null)[] => deliveries.map(({ event }) => event.path);

test.serial('a reader slower than 50,000 publishes costs a buffer, and misses nothing', async (t) => {
  const count = WARM + 50_000;
  const cluster = await Embedded.start(t);
  const [writer, node] = (await cluster.followers()) as [Coordinator, Coordinator];
  const subscription = node.subscribe({ from: 'first' });
  let seen = 0;
  let slow = true;
  const reading = (async () => {
    for await (const { event } of subscription) {
      if (event.sequence !== BigInt(seen + 1)) return `sequence ${event.sequence} came as number ${seen + 1}`;
      seen += 1;
      if (seen === count) return null;
      // One event each 5 ms as long as there are publishes, then at full speed.
      if (slow) await sleep(5);
    }
    return 'the stream ended';
  })();
  const session = writer.session();
  const publish = async (from: number) => session.publishBatch(writes(250, `/${from}`, 2000));
  // First the members' own caches are filled, each to its bound.
  for (let from = 0; from < WARM; from += 250) await publish(from);
  collect();
  const before = process.memoryUsage().rss;
  for (let from = WARM; from < count; from += 250) await publish(from);
  await until('all of them applied here', () => node.status().groups[0]?.events === BigInt(count));
  collect();
  const grown = process.memoryUsage().rss - before;
  t.true(seen < count / 2, `the reader was not slow: ${seen}`);
  t.log(`${Math.round(grown / MIB)} MiB more while ${seen} of ${count} were read`);
  // 100 MB were published meanwhile: a reader's queue of them would show, in bytes or as objects.
  t.true(grown < 80 * MIB, `${Math.round(grown / MIB)} MiB more`);
  slow = false;
  t.is(await reading, null);
});

test.serial('readers from the first event, during the writes, see each event once, in one order, on all members', async (t) => {
  const cluster = await Embedded.start(t);
  const count = 3000;
  const readers = [...cluster.nodes.values()].map((node) => take(node, count));
  await Promise.all([...cluster.nodes.values()].map((node) => Promise.all(Array.from({ length: 20 }, (_, at) => node.publishBatch(writes(50, `/${node.nodeId}/${at}`))))));
  const [first = [], ...others] = (await Promise.all(readers)).map((deliveries) => deliveries.map(({ index, offset, term, event }) => [index, offset, term, event.id, event.hlc]));
  t.is(new Set(first.map(([, , , id]) => id)).size, count);
  for (const other of others) t.deepEqual(other, first);
});

test.serial('where: types, codes, categories and globs; every condition must hold', async (t) => {
  const cluster = await Embedded.start(t, { eventTypes: { BackupDone: 0x1000 } }, ['a']);
  const node = cluster.get('a');
  await node.publishBatch([
    { type: 'FilesystemWrite', path: '/src/a.ts' },
    { type: 'FilesystemRename', path: '/src/b.ts', to: '/doc/b.md' },
    { type: 'GraphNodeCreate', path: '/src/c.ts' },
    { type: 'BackupDone', path: '/src/deep/d.ts' },
    { type: 'SystemSync' },
    { type: 'FilesystemWrite', path: '/end' },
  ]);
  const cases: readonly [Where, readonly string[]][] = [
    [{ type: 'FilesystemWrite' }, ['/src/a.ts', '/end']],
    [{ type: ['FilesystemRename', 0x1000] }, ['/src/b.ts', '/src/deep/d.ts']],
    [{ type: 'filesystem' }, ['/src/a.ts', '/src/b.ts', '/end']],
    [{ type: ['graph', 'BackupDone'] }, ['/src/c.ts', '/src/deep/d.ts']],
    [{ path: '/src/*' }, ['/src/a.ts', '/src/b.ts', '/src/c.ts']],
    [{ path: '/src/**' }, ['/src/a.ts', '/src/b.ts', '/src/c.ts', '/src/deep/d.ts']],
    [{ path: '/doc/*.md' }, ['/src/b.ts']],
    [{ path: ['/{end,doc/*}', '/src/[ac].t?'] }, ['/src/a.ts', '/src/b.ts', '/src/c.ts', '/end']],
    [{ type: 'filesystem', path: '/src/**' }, ['/src/a.ts', '/src/b.ts']],
  ];
  for (const [where, expected] of cases) t.deepEqual(paths(await take(node, expected.length, { where })), expected, JSON.stringify(where));
  t.throws(() => node.subscribe({ where: { type: 'FilesystemWrit' } }), { code: 'UNKNOWN_EVENT_TYPE' });
  t.throws(() => node.subscribe({ where: { path: '/[' } }), { code: 'FILTER_INVALID' });
  t.throws(() => node.subscribe({ where: { path: [] } }), { code: 'FILTER_INVALID' });
});

test.serial('a cursor goes on after its event, on any member; another cluster refuses it', async (t) => {
  const cluster = await Embedded.start(t);
  const events = writes(100, '/e');
  await cluster.get('a').publishBatch(events);
  await cluster.equal();
  const seen: string[] = [];
  for (let from: string | undefined, round = 0; seen.length < 100; round++) {
    const node = [...cluster.nodes.values()][round % 3] as Coordinator;
    const part = await take(node, 10, { from: from ?? 'first' });
    seen.push(...part.map(({ event }) => event.id));
    from = part.at(-1)?.cursor;
  }
  t.deepEqual(seen, events.map(({ id }) => id));
  const [delivery] = await take(cluster.get('b'), 1);
  const stranger = await Embedded.start(t, { clusterId: 'other' }, ['a']);
  t.throws(() => stranger.get('a').subscribe({ from: delivery?.cursor ?? '' }), { code: 'CURSOR_INVALID' });
  t.is(await codeOf(stranger.get('a').read(delivery?.cursor ?? '')), 'CURSOR_INVALID');
  // Latest: nothing of what was there, everything from now on.
  const latest = cluster.get('c').subscribe({ from: 'latest' })[Symbol.asyncIterator]();
  const next = latest.next();
  await cluster.get('a').publish(fileWrite('/new'));
  t.is((await next).value?.event.path, '/new');
});

test.serial('a stream ends by its signal, by close, by return and with its node, also while it waits', async (t) => {
  const cluster = await Embedded.start(t, {}, ['a']);
  const node = cluster.get('a');
  await node.publishBatch(writes(10, '/e'));
  const abort = new AbortController();
  const seen: unknown[] = [];
  for await (const delivery of node.subscribe({ from: 'first', signal: abort.signal })) {
    seen.push(delivery);
    if (seen.length === 4) abort.abort();
  }
  t.is(seen.length, 4);
  t.deepEqual(await node.subscribe({ from: 'first', signal: AbortSignal.abort() })[Symbol.asyncIterator]().next(), { done: true, value: undefined });
  const waiting = node.subscribe();
  const iterator = waiting[Symbol.asyncIterator]();
  const pending = [iterator.next(), iterator.next()];
  await sleep(20);
  await waiting.close();
  await waiting.close();
  for (const one of await Promise.all(pending)) t.true(one.done);
  // Two subscriptions go their own ways; two loops over one share it.
  const [left, right] = [node.subscribe({ from: 'first' }), node.subscribe({ from: 'first' })].map((one) => one[Symbol.asyncIterator]());
  t.deepEqual([(await left!.next()).value?.event.path, (await right!.next()).value?.event.path, (await left!.next()).value?.event.path], ['/e/0', '/e/0', '/e/1']);
  const shared = node.subscribe({ from: 'first' });
  const both = await Promise.all([shared[Symbol.asyncIterator]().next(), shared[Symbol.asyncIterator]().next()]);
  t.deepEqual(both.map(({ value }) => value?.event.path), ['/e/0', '/e/1']);
  const last = node.subscribe()[Symbol.asyncIterator]().next();
  await cluster.close('a');
  t.true((await last).done);
  t.throws(() => node.subscribe(), { code: 'CLOSED' });
});

test.serial('a named consumer goes on where it acknowledged, after a restart and on another member', async (t) => {
  const cluster = await Embedded.start(t);
  await cluster.get('a').publishBatch(writes(30, '/e'));
  await cluster.equal();
  const reading = { consumer: 'indexer', from: 'first' } as const;
  const one = await take(cluster.get('a'), 10, reading);
  t.true(one.every(({ redelivered }) => !redelivered));
  await one[5]?.ack();
  // What was handed out and not acknowledged comes again, and says so.
  const two = await take(cluster.get('b'), 10, reading);
  t.is(two[0]?.event.path, '/e/6');
  t.deepEqual(two.slice(0, 4).map(({ redelivered }) => redelivered), [true, true, true, true]);
  await two[9]?.ack();
  await two[3]?.ack();
  await cluster.close('a', 'b', 'c');
  await cluster.open('a', 'b', 'c');
  const node = await cluster.leader();
  const three = await take(node, 14, reading);
  t.deepEqual(paths(three), Array.from({ length: 14 }, (_, at) => `/e/${16 + at}`));
  const tokens = [one, two, three].map(([delivery]) => delivery?.fencingToken ?? 0n);
  t.true(tokens[0]! > 0n && tokens[1]! > tokens[0]! && tokens[2]! > tokens[1]!, tokens.join());
  // Other names stand elsewhere; without a name there is nothing to acknowledge.
  const [fresh] = await take(node, 1, { consumer: 'other', from: 'first' });
  t.deepEqual([fresh?.event.path, fresh?.redelivered], ['/e/0', false]);
  const [plain] = await take(node, 1);
  t.is(plain?.fencingToken, null);
  await plain?.ack();
  t.is(await codeOf(take(node, 1, { consumer: '' })), 'FILTER_INVALID');
});

test.serial('who takes a consumer over fences the one before', async (t) => {
  const cluster = await Embedded.start(t);
  await cluster.get('a').publishBatch(writes(20, '/e', 2000));
  await cluster.equal();
  const options = { consumer: 'one', from: 'first', bufferBytesMax: 4096 } as const;
  const first = cluster.get('a').subscribe(options)[Symbol.asyncIterator]();
  const held = (await first.next()).value as Delivery;
  const second = cluster.get('b').subscribe(options)[Symbol.asyncIterator]();
  const taken = (await second.next()).value as Delivery;
  t.true((taken.fencingToken ?? 0n) > (held.fencingToken ?? 0n));
  t.deepEqual([taken.event.id, taken.redelivered], [held.event.id, true]);
  t.is(await codeOf(held.ack()), 'CONSUMER_FENCED');
  // What it had read ahead it may still see; it gets no more.
  let code = '';
  for (let left = 20; left > 0 && code === ''; left--) {
    try {
      await first.next();
    } catch (error) {
      code = (error as { code: string }).code;
    }
  }
  t.is(code, 'CONSUMER_FENCED');
  t.true((await first.next()).done);
  await taken.ack();
  const [next] = await take(cluster.get('c'), 1, options);
  t.is(next?.event.path, '/e/1');
});

test.serial('a named consumer that waits for a quorum ends when it is closed', async (t) => {
  const cluster = await Embedded.start(t);
  const node = cluster.get('a');
  await cluster.close('b', 'c');
  await until('no leader', () => node.status().leader === null);
  const abort = new AbortController();
  const subscription = node.subscribe({ consumer: 'one', signal: abort.signal });
  const pending = subscription[Symbol.asyncIterator]().next();
  await sleep(50);
  abort.abort();
  t.deepEqual(await pending, { done: true, value: undefined });
});

test.serial('a forgotten subscription is collected', async (t) => {
  const cluster = await Embedded.start(t, {}, ['a']);
  const node = cluster.get('a');
  await node.publishBatch(writes(10, '/e'));
  const forget = async (): Promise<WeakRef<object>> => {
    const subscription = node.subscribe({ from: 'first', where: { path: '/e/*' } });
    await subscription[Symbol.asyncIterator]().next();
    return new WeakRef(subscription);
  };
  const forgotten = await forget();
  await until('its collection', () => {
    collect();
    return forgotten.deref() === undefined;
  }, 10_000);
  t.is((await journalOf(node)).length, 10);
});
