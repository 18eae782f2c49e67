/** Retention (rule L5): the journal lets go of what is old, and says so to whoever asks for it. */
import test from 'ava';
import { ApiClient, ApiServer, type CoordinatorError, type Delivery, type EventInput, type Receipt } from '../dist/index.js';
import { Embedded, fileWrite, take, until } from './helpers/cluster.js';

const SHORT = { raft: { electionTimeoutMs: [400, 800] as [number, number], snapshotThresholdEntries: 20, compactionThresholdEntries: 5 }, retention: { events: 40 } };

/** A member whose journal has let go of the first events; every event, and the receipt of each. */
async function short(t: Parameters<typeof Embedded.start>[0]) {
  const cluster = await Embedded.start(t, SHORT, ['a']);
  const node = cluster.get('a');
  const early = node.subscribe({ from: 'first' });
  const events: (EventInput & { readonly id: string })[] = [];
  const receipts: Receipt[] = [];
  // When a snapshot is due depends on its size too, so it is written until the journal lets go.
  await until('the journal to let go', async () => {
    const event = fileWrite(`/${events.length}`);
    events.push(event);
    receipts.push(await node.publish(event));
    return (node.status().groups[0]?.firstIndex ?? 0n) > (receipts[20]?.index ?? 2n ** 63n);
  });
  const [oldest] = receipts;
  const [event] = events;
  if (oldest === undefined || event === undefined) throw new Error('nothing was published');
  return { cluster, node, early, event, oldest, count: BigInt(events.length) };
}

async function first(deliveries: AsyncIterable<Delivery>): Promise<Delivery> {
  for await (const delivery of deliveries) return delivery;
  throw new Error('the stream ended');
}

test.serial('a cursor behind the journal is refused with the oldest one, which goes on', async (t) => {
  const { cluster, node, oldest } = await short(t);
  const error = (await t.throwsAsync(first(node.subscribe({ from: oldest.cursor })), { code: 'CURSOR_COMPACTED' })) as unknown as CoordinatorError;
  const { oldestCursor, firstIndex } = error.details as { oldestCursor: string; firstIndex: string };
  t.true(error.message.includes(oldestCursor));
  const [kept] = await take(node, 1);
  t.deepEqual((await first(node.subscribe({ from: oldestCursor }))).event.id, kept?.event.id);
  t.true((kept?.index ?? 0n) >= BigInt(firstIndex));
  await t.throwsAsync(node.read(oldest.cursor), { code: 'CURSOR_COMPACTED' });

  // The same over the API.
  const server = await ApiServer.start(node, { address: '127.0.0.1:0' });
  t.teardown(() => server.close());
  const client = new ApiClient(server.address);
  t.teardown(() => client.close());
  const remote = (await t.throwsAsync(first(client.subscribe({ from: oldest.cursor })), { code: 'CURSOR_COMPACTED' })) as unknown as CoordinatorError;
  t.is((remote.details as { oldestCursor: string }).oldestCursor.length, oldestCursor.length);

  const before = node.status().groups[0];
  await cluster.close('a');
  await cluster.open('a');
  t.true((cluster.get('a').status().groups[0]?.firstIndex ?? 0n) >= (before?.firstIndex ?? 0n));
  await t.throwsAsync(first(cluster.get('a').subscribe({ from: oldest.cursor })), { code: 'CURSOR_COMPACTED' });
});

test.serial('a subscription that was overtaken says so instead of skipping', async (t) => {
  const { early } = await short(t);
  // It stands at the first event there was when it was made, and reads for the first time now: from the oldest kept.
  const delivery = await first(early);
  t.true(delivery.index > 2n);
  t.is(delivery.event.path, `/${Number(delivery.event.sequence) - 1}`);
});

test.serial('from the snapshot: the first event after it, and none before', async (t) => {
  const { node } = await short(t);
  const snapshot = node.status().groups[0]?.snapshot.index ?? 0n;
  const stream = node.subscribe({ from: 'snapshot' });
  await node.publish(fileWrite('/behind'));
  const delivery = await first(stream);
  t.true(delivery.index > snapshot);
});

test.serial('what the journal has let go of is still known: no event twice, and its outcome', async (t) => {
  const { node, event, oldest, count } = await short(t);
  const again = await node.publish(event, { session: null });
  t.true(again.duplicate);
  t.is(again.index, oldest.index);
  const { state, receipt } = await node.outcome(event.id);
  t.is(state, 'committed');
  t.is(receipt?.index, oldest.index);
  t.is(node.status().groups[0]?.events, count);
});

test.serial('a named consumer that was left behind is told, and goes on where its caller says', async (t) => {
  const cluster = await Embedded.start(t, SHORT, ['a']);
  const node = cluster.get('a');
  await node.publish(fileWrite('/seen'));
  for await (const delivery of node.subscribe({ from: 'first', consumer: 'slow' })) {
    await delivery.ack();
    break;
  }
  await until('the journal to let go', async () => {
    const { index } = await node.publish(fileWrite('/more'));
    return index > 0n && (node.status().groups[0]?.firstIndex ?? 0n) > 20n;
  });
  await t.throwsAsync(first(node.subscribe({ consumer: 'slow' })), { code: 'CURSOR_COMPACTED' });
  const stream = node.subscribe({ consumer: 'slow', from: 'first' });
  const delivery = await first(stream);
  t.true(delivery.index >= (node.status().groups[0]?.firstIndex ?? 0n));
});
