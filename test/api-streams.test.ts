import { getEventListeners } from 'node:events';
import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { ApiClient, ApiServer, OrderedPublisher, RoundRobinPublisher } from '../dist/api/index.js';
import { clientMethod } from '../dist/api/schema.js';
import type { WireSubscribeRequest, WireSubscribeResponse } from '../dist/api/wire.js';
import type { Delivery, Receipt } from '../dist/contracts/index.js';
import { CoordinatorError } from '../dist/errors/index.js';
import { newEventId } from '../dist/events/index.js';
import { MemoryNode } from './api-memory-node.js';

async function serve(t: ExecutionContext, node = new MemoryNode()) {
  const server = await ApiServer.start(node, { address: '127.0.0.1:0' });
  const client = new ApiClient(server.address);
  t.teardown(async () => {
    client.close();
    await server.close();
  });
  return { node, server, client };
}

const numbered = (count: number) => Array.from({ length: count }, (_, at) => ({ id: newEventId(), type: 'A', path: `/${at}` }));

/** Longer than a machine with much to do takes. */
const PATIENT_MS = 60_000;

test('a publish stream keeps order, coalesces, and answers every number', async (t) => {
  const { node, client } = await serve(t);
  node.delayMs = 5;
  node.refusals.set('/500', new CoordinatorError('PATH_INVALID', 'not this one'));
  const publisher = new OrderedPublisher([client]);
  const events = numbered(3000);
  const results: Promise<Receipt | CoordinatorError>[] = [];
  for (const event of events) {
    await publisher.ready();
    results.push(publisher.submit(event));
  }
  const settled = await Promise.all(results);
  publisher.close();
  t.deepEqual(
    settled.map((result) => (result instanceof CoordinatorError ? result.code : result.eventId)),
    events.map((event) => (event.path === '/500' ? 'PATH_INVALID' : event.id)),
  );
  t.deepEqual(
    node.journal.map((event) => event.path),
    events.map((event) => event.path).filter((path) => path !== '/500'),
  );
  t.true(node.batches.length < 200, `${node.batches.length} batches`);
});

test('a failure that a retry may cure lets nothing overtake', async (t) => {
  const { node, client } = await serve(t);
  node.refusals.set('/3', new CoordinatorError('NOT_LEADER', 'a moment'));
  let attempts = 0;
  const retried = new Set<string>();
  // One event a batch: whatever stands behind the failed one has not been handed over.
  const each = node.publishEach.bind(node);
  node.publishEach = async (events, options) => {
    const results: (Receipt | CoordinatorError)[] = [];
    for (const event of events) {
      const [result] = await each([event], options);
      results.push(result as Receipt);
      if (!(result instanceof CoordinatorError)) continue;
      attempts += 1;
      if (attempts === 3) node.refusals.clear();
      break;
    }
    while (results.length < events.length) results.push(new CoordinatorError('NOT_LEADER', 'a moment'));
    return results;
  };
  const publisher = new OrderedPublisher([client], { timeoutMs: PATIENT_MS, onRetry: (event) => retried.add(event.path ?? '') });
  const settled = await Promise.all(numbered(10).map((event) => publisher.submit(event)));
  publisher.close();
  t.true(settled.every((result) => !(result instanceof CoordinatorError)));
  t.deepEqual(
    node.journal.map((event) => event.path),
    Array.from({ length: 10 }, (_, at) => `/${at}`),
  );
  t.true(retried.has('/3'));
});

test('a publisher goes on at the next node and gives up in time', async (t) => {
  const one = await serve(t);
  const other = await serve(t);
  const publisher = new OrderedPublisher([one.client, other.client], { timeoutMs: PATIENT_MS });
  const robin = new RoundRobinPublisher([one.client, other.client], { timeoutMs: PATIENT_MS });
  t.false((await publisher.submit({ id: newEventId(), type: 'A' })) instanceof CoordinatorError);
  await one.server.close();
  t.false((await publisher.submit({ id: newEventId(), type: 'A' })) instanceof CoordinatorError);
  for (let at = 0; at < 4; at++) t.false((await robin.publish({ id: newEventId(), type: 'A' })) instanceof CoordinatorError);
  t.is(other.node.journal.length, 5);
  await other.server.close();
  const hasty = new OrderedPublisher([one.client, other.client], { timeoutMs: 700 });
  const hastyRobin = new RoundRobinPublisher([one.client, other.client], { timeoutMs: 700 });
  const began = Date.now();
  const results = await Promise.all([hasty.submit({ id: newEventId(), type: 'A' }), hastyRobin.publish({ id: newEventId(), type: 'A' })]);
  t.deepEqual(results.map((result) => (result instanceof CoordinatorError ? result.code : 'receipt')), ['UNAVAILABLE', 'UNAVAILABLE']);
  t.true(Date.now() - began < PATIENT_MS);
  hasty.close();
  publisher.close();
});

test('a subscription delivers, acknowledges and ends when the server closes', async (t) => {
  const { node, server, client } = await serve(t);
  for (const event of numbered(100)) await node.publish(event);
  const seen: Delivery[] = [];
  const subscription = client.subscribe({ from: 'first', consumer: 'c' });
  const error = await t.throwsAsync(async () => {
    for await (const delivery of subscription) {
      seen.push(delivery);
      t.is(delivery.fencingToken, 9n);
      if (seen.length === 100) {
        await delivery.ack();
        t.is(node.acknowledged.at(-1), delivery.event.id);
        void server.close();
      }
    }
  });
  t.like(error, { code: 'CLOSED' });
  t.deepEqual(
    seen.map((delivery) => delivery.event.path),
    node.journal.map((event) => event.path),
  );
});

test('a subscription that is closed ends quietly; a bad start is refused', async (t) => {
  const { node, client } = await serve(t);
  await node.publish({ type: 'A' });
  const controller = new AbortController();
  let count = 0;
  for await (const _ of client.subscribe({ from: 'first', signal: controller.signal })) {
    count += 1;
    controller.abort();
  }
  t.is(count, 1);
  for await (const _ of client.subscribe({ from: 'first' })) break;
  const failed = async () => {
    for await (const _ of client.subscribe({ from: 'damaged' })) t.fail();
  };
  t.like(await t.throwsAsync(failed), { code: 'CURSOR_INVALID' });
});

test('one signal may end many subscriptions, and keeps none that has ended', async (t) => {
  const { node, client } = await serve(t);
  await node.publish({ type: 'A' });
  const { signal } = new AbortController();
  for (let round = 0; round < 15; round++) for await (const _ of client.subscribe({ from: 'first', signal })) break;
  t.is(getEventListeners(signal, 'abort').length, 0);
});

function rawSubscribe(client: Client): ClientDuplexStream<WireSubscribeRequest, WireSubscribeResponse> {
  const { path, requestSerialize, responseDeserialize } = clientMethod<WireSubscribeRequest, WireSubscribeResponse>('Subscribe');
  return client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
}

test('a client that stops reading stops the node being asked', async (t) => {
  const { node, server } = await serve(t);
  const payload = new Uint8Array(16 * 1024);
  for (let at = 0; at < 3000; at++) await node.publish({ type: 'A', payload });
  const client = new Client(server.address, credentials.createInsecure());
  const stream = rawSubscribe(client);
  stream.on('error', () => {});
  let received = 0;
  let done = (): void => {};
  const all = new Promise<void>((resolve) => {
    done = resolve;
  });
  stream.on('data', (message) => {
    if (received === 0) stream.pause();
    received += message.deliveries.length;
    if (received === 3000) done();
  });
  const begun = new Promise((resolve) => stream.once('data', resolve));
  stream.write({ start: { from: 'first' } });
  // On a slow machine it would be resumed before it has paused.
  await begun;
  await new Promise((resolve) => setTimeout(resolve, 500));
  await new Promise((resolve) => setTimeout(resolve, 500));
  t.true(node.pulled < 1000, `${node.pulled} pulled by a client that reads nothing`);
  stream.resume();
  await all;
  stream.cancel();
  client.close();
  t.is(received, 3000);
});

test('what a consumer does not acknowledge is bounded', async (t) => {
  const { node, server } = await serve(t);
  for (let at = 0; at < 6000; at++) await node.publish({ type: 'A' });
  const client = new Client(server.address, credentials.createInsecure());
  const stream = rawSubscribe(client);
  stream.on('error', () => {});
  let received = 0;
  stream.on('data', (message) => {
    received += message.deliveries.length;
  });
  stream.write({ start: { from: 'first', consumer: 'c' } });
  while (received < 4096) await new Promise((resolve) => setTimeout(resolve, 10));
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.is(received, 4096);
  stream.write({ acknowledge: { number: '4096' } });
  while (received < 6000) await new Promise((resolve) => setTimeout(resolve, 10));
  stream.cancel();
  client.close();
  t.deepEqual(node.acknowledged, [node.journal[4095]?.id]);
});

test('a reader without acknowledgements may half-close', async (t) => {
  const { node, server } = await serve(t);
  await node.publish({ type: 'A' });
  const client = new Client(server.address, credentials.createInsecure());
  const stream = rawSubscribe(client);
  stream.on('error', () => {});
  stream.write({ start: { from: 'first' } });
  stream.end();
  const paths: (string | undefined)[] = [];
  const three = new Promise<void>((resolve) => {
    stream.on('data', (message) => {
      for (const { event } of message.deliveries) paths.push(event?.path);
      if (paths.length === 3) resolve();
    });
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  await node.publish({ type: 'A', path: '/2' });
  await node.publish({ type: 'A', path: '/3' });
  await three;
  stream.cancel();
  client.close();
  t.deepEqual(paths, [undefined, '/2', '/3']);
});
