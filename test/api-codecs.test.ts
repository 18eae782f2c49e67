/** The API in MessagePack: the same service with the same checks, whose messages a client asks for in another form. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { ApiClient, type ApiClientOptions, ApiServer, OrderedPublisher } from '../dist/api/index.js';
import { rolesFor } from '../dist/api/permissions.js';
import { METHODS, SERVICE_NAMES, serverDefinition } from '../dist/api/schema.js';
import { newEventId } from '../dist/events/index.js';
import type { Receipt } from '../dist/index.js';
import { MemoryNode } from './api-memory-node.js';
import { ServedTokenList } from './fixtures/tokens.js';
import { codeOf, room } from './helpers/cluster.js';

async function serve(t: ExecutionContext, { tokens = null, auditFile = null }: { tokens?: ServedTokenList | null; auditFile?: string | null } = {}) {
  const node = new MemoryNode();
  const server = await ApiServer.start(node, { address: '127.0.0.1:0', tokens, auditFile });
  t.teardown(() => server.close());
  const client = (options: ApiClientOptions = {}): ApiClient => {
    const made = new ApiClient(server.address, options);
    t.teardown(() => made.close());
    return made;
  };
  return { node, server, client };
}

const EVENT = {
  type: 0x1234,
  path: '/ä/\u{1f600}',
  to: '/b',
  payload: new Uint8Array(Array.from({ length: 256 }, (_, at) => at)),
  metadata: { deep: [1, null, 'x'] },
  priority: 1,
  flags: 0xffff_ffff,
  sourceId: 2n ** 64n - 1n,
  context: { filesystem: { inode: 5 } },
};

test('the same event through both codecs is the same event, and each reads what the other one wrote', async (t) => {
  const { node, client } = await serve(t);
  const clients = [client(), client({ codec: 'msgpack' })];
  const options = { consistency: 'strong', quorumSize: 'all', timeoutMs: 1234, protocol: 'safe' } as const;
  const receipts: Receipt[] = [];
  for (const one of clients) receipts.push(await one.publish({ ...EVENT, id: newEventId() }, options));
  const without = ({ eventId, latencyUs, cursor, index, offset, duplicate, ...rest }: Receipt) => rest;
  t.deepEqual(without(receipts[0]!), without(receipts[1]!));
  t.deepEqual(node.seenOptions[0]?.quorumSize, node.seenOptions[1]?.quorumSize);
  for (const { eventId } of receipts) {
    const read = await Promise.all(clients.map((one) => one.read(eventId)));
    const plain = read.map(({ event }) => ({ ...event, payload: [...event.payload] }));
    t.deepEqual(plain[0], plain[1]);
    t.deepEqual(plain[0]?.payload, [...EVENT.payload]);
  }
});

test('every call of the API works in MessagePack', async (t) => {
  const { client } = await serve(t);
  const one = client({ codec: 'msgpack' });
  const { eventId } = await one.publish(EVENT);
  t.is((await one.publishBatch([EVENT, { type: 'A' }])).length, 2);
  const publisher = new OrderedPublisher([one]);
  const streamed = await Promise.all(Array.from({ length: 50 }, () => publisher.submit({ type: 'A' })));
  publisher.close();
  t.true(streamed.every((receipt) => 'eventId' in receipt));
  const seen: string[] = [];
  for await (const delivery of one.subscribe({ from: 'first', consumer: 'c' })) {
    seen.push(delivery.event.id);
    await delivery.ack();
    if (seen.length === 5) break;
  }
  t.is(seen[0], eventId);
  const others = [client(), one];
  const [statuses, members, outcomes, barriers] = await Promise.all([
    Promise.all(others.map((other) => other.status())),
    Promise.all(others.map((other) => other.listMembers())),
    Promise.all(others.map((other) => other.outcome(eventId))),
    Promise.all(others.map((other) => other.readBarrier())),
  ]);
  const [first, second] = statuses.map((status) => ({ ...status, counters: Object.keys(status.counters) }));
  t.deepEqual(first, second);
  for (const pair of [members, outcomes, barriers]) t.deepEqual(pair[0], pair[1] as never);
  t.is(await codeOf(one.read('no such event')), await codeOf(client().read('no such event')));
});

test('who may call what, and what is recorded, is the same in both', async (t) => {
  for (const method of METHODS) t.deepEqual(rolesFor(`/${SERVICE_NAMES.msgpack}/${method}`), rolesFor(`/${SERVICE_NAMES.protobuf}/${method}`));
  t.deepEqual(rolesFor(`/${SERVICE_NAMES.msgpack}/constructor`), []);
  const tokens = new ServedTokenList();
  const auditFile = join(room(t), 'audit.jsonl');
  const { client, server } = await serve(t, { tokens, auditFile });
  const codec = 'msgpack';
  t.is(await codeOf(client({ codec }).status()), 'UNAUTHENTICATED');
  const reader = client({ codec, token: tokens.add('r', 'reader') });
  await reader.status();
  t.is(await codeOf(reader.publish(EVENT)), 'PERMISSION_DENIED');
  t.is(await codeOf(reader.addMember('d', '127.0.0.1:1')), 'PERMISSION_DENIED');
  await client({ codec, token: tokens.add('o', 'operator') }).addMember('d', '127.0.0.1:1').catch(() => {});
  await server.close();
  const lines = readFileSync(auditFile, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  t.like(lines[0], { asks: 'ChangeMembers', by: { role: 'operator', name: 'o', via: 'token' }, request: { add: { id: 'd', address: '127.0.0.1:1' } } });
});

test('what is no message is refused with a code, and the connection goes on', async (t) => {
  const { client, server, node } = await serve(t);
  const raw = new Client(server.address, credentials.createInsecure());
  t.teardown(() => raw.close());
  const ask = (bytes: Buffer): Promise<string> =>
    new Promise((resolve) => {
      raw.makeUnaryRequest(
        `/${SERVICE_NAMES.msgpack}/Publish`,
        (request: Buffer) => request,
        (answer) => answer,
        bytes,
        { deadline: Date.now() + 5_000 },
        (error) => resolve(String(error?.metadata.get('vexfs-code')[0] ?? error?.message ?? 'none')),
      );
    });
  for (const bytes of [[], [0x90], [0xc1], [0xdd, 0xff, 0xff, 0xff, 0xff], [0xd4, 0x72, 0x40, 0x80], [0x81, 0xa5, ...Buffer.from('event'), 0x05], [0x80, 0x00]]) t.is(await ask(Buffer.from(bytes)), 'INVALID_EVENT', String(bytes));
  t.is(await ask(Buffer.from([0x80])), 'INVALID_EVENT', 'no event');
  t.is(await ask(Buffer.from([0x82, 0xa5, ...Buffer.from('event'), 0x81, 0xa4, ...Buffer.from('name'), 0xa1, 0x41, 0xa7, ...Buffer.from('options'), 0x81, 0xab, ...Buffer.from('consistency'), 99])), 'UNKNOWN_LEVEL');
  t.is(node.journal.length, 0);
  const one = client({ codec: 'msgpack' });
  const payload = new Uint8Array(9 * 1024 * 1024);
  t.truthy(await codeOf(one.publishBatch(Array.from({ length: 4 }, () => ({ type: 'A', payload })))));
  t.truthy(await one.publish(EVENT));
});

test('a node that speaks no MessagePack says so, and nothing is done; nor is there another codec', async (t) => {
  const older = new Server();
  older.addService(serverDefinition('protobuf'), {});
  const port = await new Promise<number>((resolve, reject) => older.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error === null ? resolve(bound) : reject(error))));
  t.teardown(() => older.forceShutdown());
  const client = new ApiClient(`127.0.0.1:${port}`, { codec: 'msgpack' });
  t.teardown(() => client.close());
  t.throws(() => new ApiClient('127.0.0.1:1', { codec: 'xml' as never }), { code: 'USAGE', message: /protobuf or msgpack, not in "xml"/ });
  const error = await t.throwsAsync(client.publish(EVENT));
  t.like(error, { code: 'UNAVAILABLE' });
  t.regex(error!.message, /CoordinatorMsgpack/);
});
