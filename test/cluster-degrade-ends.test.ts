/** How publishes end that wait for a quorum, or for places: truly, at once, and within bounds (rules R4, R5). */
import test from 'ava';
import { OrderedPublisher } from '../dist/api/index.js';
import { ApiClient, ApiServer, type Coordinator, type CoordinatorConfig, type CoordinatorError, type Receipt } from '../dist/index.js';
import { codeOf, Embedded, fileWrite, sleep, until } from './helpers/cluster.js';

const CONFIG: Partial<CoordinatorConfig> = {
  levels: [
    { name: 'soft', match: { path: '/soft/**' }, onQuorumLoss: 'degrade' },
    { name: 'hard', match: { path: '/hard/**' }, onQuorumLoss: 'fail' },
  ],
};

/** Member a alone, which knows that it is. */
async function alone(t: Parameters<typeof Embedded.start>[0], more: Partial<CoordinatorConfig> = {}): Promise<Coordinator> {
  const cluster = await Embedded.start(t, { ...CONFIG, ...more });
  const a = cluster.get('a');
  await until('who writes where', () => a.status().lanes.causal.actor !== null);
  await cluster.close('b', 'c');
  await until('no leader', () => a.status().leader === null);
  await a.publish(fileWrite('/soft/first'));
  return a;
}
const told = (publish: Promise<Receipt>): Promise<string> =>
  publish.then(
    ({ level }) => level,
    (error: CoordinatorError) => `${error.code}/${error.committed}`,
  );

test.serial('whenever a publish is aborted, what is said of it is true, and nothing is left that nobody handles', async (t) => {
  const unhandled: unknown[] = [];
  const note = (error: unknown) => unhandled.push(error);
  process.on('unhandledRejection', note);
  t.teardown(() => process.off('unhandledRejection', note));
  const a = await alone(t);
  const ends = new Map<string, string>();
  for (let turns = 0; turns < 12; turns++) {
    const controller = new AbortController();
    const event = fileWrite(`/soft/${turns}`);
    const ended = told(a.publish(event, { signal: controller.signal }));
    for (let turn = 0; turn < turns; turn++) await null;
    controller.abort();
    ends.set(event.id, await ended);
  }
  // As a caller does that gives up all when one has failed.
  const controller = new AbortController();
  const event = fileWrite('/soft/pair');
  const ended = told(a.publish(event, { signal: controller.signal, session: null }));
  t.is(await told(a.publish(fileWrite('/hard/pair'), { session: null }).finally(() => controller.abort())), 'QUORUM_LOST/no');
  ends.set(event.id, await ended);
  const last = fileWrite('/soft/last');
  await a.publish(last);
  const there = new Set<string>();
  for await (const delivery of a.subscribe({ from: 'first', lane: 'causal' })) {
    there.add(delivery.event.id);
    if (delivery.event.id === last.id) break;
  }
  for (const [id, end] of ends) t.false(end === 'ABORTED/no' && there.has(id), `${end}, and it is there`);
  await sleep(50);
  t.deepEqual(unhandled, []);
});

test.serial('what waits behind a session is bounded, and what has timed out is let go of', async (t) => {
  const a = await alone(t, { limits: { pendingBytesMax: 1024 * 1024 } });
  const session = a.session();
  await session.publish(fileWrite('/soft/first'));
  const head = told(session.publish(fileWrite('/else/head'), { timeoutMs: 3_000 }));
  const behind = (count: number, timeoutMs: number) => Promise.all(Array.from({ length: count }, (_, at) => told(session.publish(fileWrite(`/else/${at}`, 100_000), { timeoutMs }))));
  const ends = await behind(20, 200);
  t.is(ends.filter((end) => end === 'TIMEOUT/no').length, 10);
  t.is(ends.filter((end) => end === 'BACKPRESSURE/no').length, 10);
  // The one in front waits still; the room of those who have gone is free.
  t.is((await behind(10, 200)).filter((end) => end === 'TIMEOUT/no').length, 10);
  t.is(await head, 'TIMEOUT/no');
});

test.serial('a node that closes ends what waits there before it is closed', async (t) => {
  const a = await alone(t);
  const session = a.session();
  await session.publish(fileWrite('/soft/first'));
  const ends: string[] = [];
  for (const path of ['/else/1', '/soft/2']) void told(session.publish(fileWrite(path), { timeoutMs: 60_000 })).then((end) => ends.push(end));
  await sleep(100);
  await a.close();
  t.deepEqual(ends, ['CLOSED/no', 'CLOSED/no']);
});

test.serial('a time to wait that no timer can wait is refused, wherever it is given', async (t) => {
  const a = await alone(t);
  const server = await ApiServer.start(a, { address: '127.0.0.1:0' });
  const client = new ApiClient(server.address);
  t.teardown(async () => {
    client.close();
    await server.close();
  });
  const { cursor: after } = await a.publish(fileWrite('/x'), { consistency: 'causal' });
  for (const timeoutMs of [2_000_000_001, 2 ** 31, 2 ** 32 - 1, 2 ** 33, Number.POSITIVE_INFINITY, Number.NaN, 0]) {
    for (const path of ['/soft/long', '/hard/long', '/else/long']) {
      t.is(await codeOf(a.publish(fileWrite(path), { timeoutMs, session: null })), 'USAGE', `${path} ${timeoutMs}`);
      t.is(await codeOf(client.publish(fileWrite(path), { timeoutMs })), 'USAGE', `API ${path} ${timeoutMs}`);
    }
    t.is(await codeOf(a.publish(fileWrite('/x'), { timeoutMs, consistency: 'causal', after })), 'USAGE');
    t.is(await codeOf(a.readBarrier({ timeoutMs })), 'USAGE');
    t.is(await codeOf(client.outcome(fileWrite('/x').id, { timeoutMs })), 'USAGE');
    t.throws(() => new OrderedPublisher([client], { timeoutMs }), { code: 'USAGE' });
  }
  const longest = 2_000_000_000;
  t.like(await a.publish(fileWrite('/soft/longest'), { timeoutMs: longest }), { level: 'causal' });
  t.like(await client.publish(fileWrite('/soft/longest'), { timeoutMs: longest }), { level: 'causal' });
});
