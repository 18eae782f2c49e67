/** What happened before what, asked over the network and on the command line. */
import test from 'ava';
import { newEventId } from '../dist/events/index.js';
import { ApiClient, ApiServer, type Delivery } from '../dist/index.js';
import { vexcoord } from './cli-run.js';
import { collect, had, idsOf, keyOf, pathsOf, start } from './helpers/causality.js';
import { codeOf, fileWrite, writes } from './helpers/cluster.js';

const causal = { consistency: 'causal' } as const;

test.serial('all of it through the API', async (t) => {
  const { nodes: [a] } = await start(t);
  const server = await ApiServer.start(a, { address: '127.0.0.1:0' });
  const client = new ApiClient(server.address);
  t.teardown(async () => {
    client.close();
    await server.close();
  });
  const { causality } = client;
  const first = await a.publish(fileWrite('/first'), causal);
  const batch = await a.publishBatch(writes(2000, '/x', 200), causal);
  const last = await a.publish(fileWrite('/last'), causal);
  t.is(await causality.relation(first.eventId, keyOf(last)), 'before');
  t.is(await causality.relation(first.eventId, first.eventId), 'same');
  const causes = causality.causesOf(last.eventId);
  t.true(await causes.complete());
  const given = await collect(causes);
  t.deepEqual(given.map((delivery) => [delivery.event.id, delivery.cursor, delivery.clock]), (await collect(a.causality.causesOf(last.eventId))).map((delivery) => [delivery.event.id, delivery.cursor, delivery.clock]));
  t.is(given.length, 2001);
  t.deepEqual(idsOf(await collect(causality.causesOf(last.eventId, { from: (given[1999] as Delivery).cursor }))), idsOf(given.slice(2000)));
  t.deepEqual(idsOf(await collect(causality.effectsOf(first.eventId, { direct: true }))), [batch[0]?.eventId as string]);
  t.deepEqual(pathsOf(await collect(causality.effectsOf(first.eventId, { where: { path: '/x/19?', type: 'FilesystemWrite' } }))), Array.from({ length: 10 }, (_, at) => `/x/19${at}`));
  t.deepEqual(await collect(causality.concurrentWith(first.eventId)), []);
  t.is(await codeOf(causality.relation(first.eventId, newEventId())), 'NOT_FOUND');
  t.is(await codeOf(collect(causality.causesOf('nonsense'))), 'INVALID_EVENT_ID');
  t.is(await codeOf(causality.causesOf(newEventId()).complete()), 'NOT_FOUND');
  t.is(await codeOf(collect(causality.concurrentWith(first.eventId, { direct: true } as never))), 'USAGE');
  t.is(await codeOf(collect(causality.causesOf(last.eventId, { from: 'nonsense!' }))), 'CURSOR_INVALID');
  // One that is left leaves nothing behind, and one that is aborted ends.
  for await (const delivery of causality.causesOf(last.eventId)) if (delivery.event.path === '/x/3') break;
  const aborting = new AbortController();
  let count = 0;
  for await (const _ of causality.causesOf(last.eventId, { signal: aborting.signal })) if (++count === 5) aborting.abort();
  t.true(count < 2001);
  t.deepEqual(await collect(causality.causesOf(last.eventId, { signal: AbortSignal.abort() })), []);
  // More than is on its way at a time.
  for (let round = 0; round < 5; round++) await a.publishBatch(writes(70, '/large', 100_000), causal);
  const open = causality.effectsOf(last.eventId)[Symbol.asyncIterator]();
  await open.next();
  const closing = server.close();
  t.is(await codeOf((async () => { while ((await open.next()).done !== true); })()), 'CLOSED');
  await closing;
});

test.serial('the command line lists causes and effects, and says how two events stand', async (t) => {
  const { nodes: [a, b] } = await start(t);
  const servers = await Promise.all([a, b].map((node) => ApiServer.start(node, { address: '127.0.0.1:0' })));
  t.teardown(() => Promise.all(servers.map((server) => server.close())));
  const api = ['--api', servers.map(({ address }) => address).join(',')];
  const [one, two, three] = [await a.publish(fileWrite('/one'), causal), await a.publish(fileWrite('/two'), causal), await a.publish(fileWrite('/three'), causal)];
  await had(b, [three]);
  const run = (...args: string[]) => vexcoord(['causality', ...args, ...api]);
  const paths = async (...args: string[]): Promise<string[]> => (await run(...args, '--output', 'json')).lines.map((line) => JSON.parse(line).event.path);
  t.deepEqual(await paths(three.eventId), ['/one', '/two']);
  t.deepEqual(await paths(three.eventId, '--causes', '--direct'), ['/two']);
  t.deepEqual(await paths(one.eventId, '--effects'), ['/two', '/three']);
  t.deepEqual(await paths(one.eventId, '--effects', '--limit', '1'), ['/two']);
  t.deepEqual(await paths(one.eventId, '--effects', '--from', two.cursor), ['/three']);
  t.deepEqual(await paths(three.eventId, '--where', 'path=/o*'), ['/one']);
  t.deepEqual(await paths(one.eventId, '--concurrent'), []);
  t.like(await run(one.eventId), { status: 0, stdout: '', stderr: 'There are none.\n' });
  const table = await run(three.eventId, '--cursor', three.cursor);
  t.is(table.status, 0, table.stderr);
  t.regex(table.lines[0] ?? '', /FilesystemWrite {2}\/one/);
  t.is((await run(one.eventId, '--relation', three.eventId)).stdout, `${one.eventId} happened before ${three.eventId}.\n`);
  t.deepEqual(JSON.parse((await run(three.eventId, '--relation', one.eventId, '--output', 'json')).stdout), { one: three.eventId, other: one.eventId, relation: 'after' });
  const drawing = await run(three.eventId, '--graph', '2');
  t.deepEqual(drawing.lines.map((line) => line.replace(/\d+\.\d+ .*(\/\w+) .*/, '$1')), [three.eventId, '└─ /two', '   └─ /one']);
  await servers[0]?.close();
  t.deepEqual(await paths(three.eventId), ['/one', '/two'], 'another node answers');
  for (const [code, status, ...args] of [
    ['NOT_FOUND', 1, newEventId()],
    ['INVALID_EVENT_ID', 1, 'nonsense'],
    ['USAGE', 2],
    ['USAGE', 2, one.eventId, '--causes', '--effects'],
    ['USAGE', 2, one.eventId, '--direct', '--concurrent'],
    ['USAGE', 2, one.eventId, '--relation', two.eventId, '--limit', '1'],
    ['USAGE', 2, one.eventId, '--limit', '0'],
    ['USAGE', 2, one.eventId, '--graph', '2', '--output', 'json'],
    ['USAGE', 2, one.eventId, '--graph', '2', '--causes'],
    ['FILTER_INVALID', 1, one.eventId, '--where', 'nonsense'],
    ['CURSOR_INVALID', 1, one.eventId, '--from', 'nonsense!'],
  ] as const) {
    const ran = await run(...args);
    t.is(ran.status, status, ran.stderr);
    t.regex(ran.stderr, new RegExp(`^${code}: `));
  }
});
