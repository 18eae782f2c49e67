import { connect } from 'node:net';
import { Client, credentials, type MethodDefinition } from '@grpc/grpc-js';
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader';
import test, { type ExecutionContext } from 'ava';
import { ApiClient, ApiServer } from '../dist/api/index.js';
import { clientMethod } from '../dist/api/schema.js';
import { CoordinatorError, ERROR_CODES, type ErrorCode } from '../dist/errors/index.js';
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

/** A unary call of any service, with the request's bytes as given. */
function call<R>(address: string, method: MethodDefinition<Buffer, R>, bytes: Buffer, deadline = Date.now() + 5000): Promise<R> {
  const client = new Client(address, credentials.createInsecure());
  return new Promise<R>((resolve, reject) => {
    client.makeUnaryRequest(
      method.path,
      (request) => request,
      method.responseDeserialize,
      bytes,
      { deadline },
      (error, answer) => {
        client.close();
        if (error === null && answer !== undefined) resolve(answer);
        else reject(error);
      },
    );
  });
}

test('an event and its receipt survive the way in every field', async (t) => {
  const { node, client } = await serve(t);
  const event = {
    id: newEventId(),
    type: 0x1234,
    path: '/ä/\u{1f600}',
    to: '/b',
    payload: new Uint8Array([0, 255, 10]),
    metadata: { deep: [1, null, 'x'] },
    priority: 1,
    flags: 0xffff_ffff,
    sourceId: 2n ** 64n - 1n,
    context: { filesystem: { inode: 5 } },
  };
  const receipt = await client.publish(event, { consistency: 'strong', quorumSize: 'all', timeoutMs: 1234, protocol: 'safe' });
  t.like(receipt, { eventId: event.id, index: 2n ** 53n, term: 2n ** 64n - 1n, clock: { a: '18446744073709551615' }, hlc: 5n, rule: null, certificate: null });
  const delivery = await client.read(event.id);
  t.deepEqual({ ...delivery.event, payload: [...delivery.event.payload] }, { ...node.journal[0], payload: [0, 255, 10] } as never);
  t.like(node.seenOptions[0], { consistency: 'strong', quorumSize: 'all', timeoutMs: 1234, protocol: 'safe', session: null });
  await client.publish(event, { consistency: 'adaptive', maxStalenessMs: 0 });
  t.like(node.seenOptions[1], { consistency: 'adaptive', maxStalenessMs: 0 });
  t.false('maxStalenessMs' in (node.seenOptions[0] as object) || 'protocol' in (node.seenOptions[1] as object));
});

test('absent fields stay absent and empty ones stay empty', async (t) => {
  const { node, client } = await serve(t);
  await client.publish({ type: 'FilesystemCreate' });
  await client.publish({ type: 'FilesystemCreate', path: '', metadata: null, payload: new Uint8Array(), flags: 0, sourceId: 0n });
  t.like(node.journal[0], { path: null, to: null, sourceId: null });
  t.like(node.journal[1], { path: '', to: null, sourceId: 0n, flags: 0 });
});

test('status keeps u64 exact', async (t) => {
  const { node, client } = await serve(t);
  const { counters, ...rest } = await client.status();
  const { counters: own, ...wanted } = node.status();
  t.deepEqual(rest, wanted);
  t.deepEqual(counters, { ...own, ...counters });
  t.is(counters['api.connections'], 1);
});

test('a batch gives every event its own outcome', async (t) => {
  const { node, client } = await serve(t);
  node.refusals.set('/no', new CoordinatorError('UNKNOWN_EVENT_TYPE', 'no such type'));
  const results = await client.publishBatch([
    { type: 'A', path: '/1' },
    { type: 'A', path: '/no' },
    { type: 'A', path: '/2' },
  ]);
  t.deepEqual(
    results.map((result) => (result instanceof CoordinatorError ? result.code : result.index)),
    [2n ** 53n, 'UNKNOWN_EVENT_TYPE', 2n ** 53n + 1n],
  );
});

test('every error code crosses with its message and what it says of the commit', async (t) => {
  const { node, client } = await serve(t);
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    for (const committed of ['yes', 'no', 'unknown'] as const) {
      node.refusals.set('/x', new CoordinatorError(code, `reason — ${code}\nsecond line`, { committed }));
      const error = await t.throwsAsync(client.publish({ type: 'A', path: '/x' }), { instanceOf: CoordinatorError });
      t.like(error, { code, committed });
      t.regex(error?.message ?? '', /^reason — /);
    }
  }
});

test('queries and their failures', async (t) => {
  const { client } = await serve(t);
  const { eventId } = await client.publish({ type: 'A' });
  t.is((await client.outcome(eventId)).state, 'committed');
  t.deepEqual(await client.outcome(newEventId()), { state: 'absent' });
  t.is(await client.readBarrier(), 1n);
  t.like(await t.throwsAsync(client.read('nothing')), { code: 'NOT_FOUND' });
});

test('a call that its caller gives up is aborted at the node', async (t) => {
  const { node, client } = await serve(t);
  node.delayMs = 10_000;
  const controller = new AbortController();
  const published = client.publish({ type: 'A' }, { signal: controller.signal });
  while (node.seenOptions.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  controller.abort();
  t.like(await t.throwsAsync(published), { code: 'ABORTED' });
  while (!node.seenOptions[0]?.signal?.aborted) await new Promise((resolve) => setTimeout(resolve, 5));
  t.is(node.journal.length, 0);
});

test('a deadline shortens what the node is given', async (t) => {
  const { node, server } = await serve(t);
  const method = clientMethod<object, object>('Publish');
  const raw = { ...method, requestSerialize: (bytes: Buffer) => bytes } as unknown as MethodDefinition<Buffer, object>;
  await call(server.address, raw, method.requestSerialize({ event: { name: 'A' } }), Date.now() + 30_000);
  const given = node.seenOptions[0]?.timeoutMaxMs ?? 0;
  t.true(given > 0 && given <= 30_000, `${given}`);
});

test('messages that cannot be meant are refused with a code', async (t) => {
  const { node, server } = await serve(t);
  const method = clientMethod<object, object>('Publish');
  const raw = { ...method, requestSerialize: (bytes: Buffer) => bytes } as unknown as MethodDefinition<Buffer, object>;
  const codeOf = async (bytes: Buffer): Promise<string> => {
    const error = (await t.throwsAsync(call(server.address, raw, bytes))) as Error & { metadata: { get(key: string): string[] } };
    return error.metadata.get('vexfs-code')[0] ?? '';
  };
  t.is(await codeOf(Buffer.from([0xff, 0xff, 0xff])), 'INVALID_EVENT');
  t.is(await codeOf(method.requestSerialize({})), 'INVALID_EVENT');
  t.is(await codeOf(method.requestSerialize({ event: { path: '/a' } })), 'INVALID_EVENT');
  t.is(await codeOf(method.requestSerialize({ event: { name: 'A', metadataJson: '{' } })), 'INVALID_EVENT');
  t.is(await codeOf(method.requestSerialize({ event: { name: 'A', contextJson: '[]' } })), 'INVALID_EVENT');
  t.is(await codeOf(method.requestSerialize({ event: { name: 'A' }, options: { consistency: 99 } })), 'UNKNOWN_LEVEL');
  t.is(node.journal.length, 0);
});

test('a message over the limit is refused, and the connection goes on', async (t) => {
  const { client } = await serve(t);
  const payload = new Uint8Array(9 * 1024 * 1024);
  const events = Array.from({ length: 4 }, () => ({ type: 'A', payload }));
  t.true((await t.throwsAsync(client.publishBatch(events))) instanceof CoordinatorError);
  t.truthy(await client.publish({ type: 'A' }));
});

test('garbage and half a preface on the port harm nobody', async (t) => {
  const { server, client } = await serve(t);
  const garbage = [Buffer.alloc(100_000, 0xa5), Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from('PRI * HTTP/2.0\r\n\r\nSM'), Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.alloc(5000, 0xff)])];
  const sockets = garbage.map((bytes) => {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.resume();
    socket.write(bytes);
    return socket;
  });
  for (let round = 0; round < 20; round++) t.truthy(await client.publish({ type: 'A' }));
  for (const socket of sockets) socket.destroy();
  t.truthy(await client.status());
});

test('a port that is taken is said to be', async (t) => {
  const { server } = await serve(t);
  t.like(await t.throwsAsync(ApiServer.start(new MemoryNode(), { address: server.address })), { code: 'PORT_IN_USE' });
  t.like(await t.throwsAsync(ApiServer.start(new MemoryNode(), { address: 'nonsense' })), { code: 'CONFIG_INVALID' });
});

test('a node that is not there is UNAVAILABLE at once', async (t) => {
  const { server } = await serve(t);
  await server.close();
  const client = new ApiClient(server.address);
  t.like(await t.throwsAsync(client.publish({ type: 'A' })), { code: 'UNAVAILABLE', committed: 'no' });
  client.close();
});

test('the health service follows the lane', async (t) => {
  const { node, server } = await serve(t);
  const health = loadSync('node_modules/grpc-health-check/proto/health/v1/health.proto', { enums: String })['grpc.health.v1.Health'] as ServiceDefinition;
  const check = health.Check as unknown as MethodDefinition<object, { status: string }>;
  const ask = (service: string) => call(server.address, check as unknown as MethodDefinition<Buffer, { status: string }>, check.requestSerialize({ service }));
  t.is((await ask('')).status, 'SERVING');
  t.is((await ask('vexfs.coordinator.v1.Coordinator')).status, 'SERVING');
  node.lane = 'no-quorum';
  await new Promise((resolve) => setTimeout(resolve, 1200));
  t.is((await ask('')).status, 'NOT_SERVING');
});

for (const version of ['v1', 'v1alpha']) {
  test(`reflection ${version} lists the services and gives their files`, async (t) => {
    const { server } = await serve(t);
    const path = `node_modules/@grpc/reflection/build/proto/grpc/reflection/${version}/reflection.proto`;
    const service = loadSync(path, { bytes: Buffer })[`grpc.reflection.${version}.ServerReflection`] as ServiceDefinition;
    const method = service.ServerReflectionInfo as unknown as MethodDefinition<object, Record<string, never>>;
    const client = new Client(server.address, credentials.createInsecure());
    const stream = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
    const answers: Record<string, { service?: { name: string }[]; fileDescriptorProto?: Buffer[] }>[] = [];
    stream.on('data', (answer) => answers.push(answer));
    stream.write({ listServices: '' });
    stream.write({ fileContainingSymbol: 'vexfs.coordinator.v1.Coordinator' });
    stream.end();
    await new Promise((resolve) => stream.on('end', resolve));
    client.close();
    const names = answers[0]?.listServicesResponse?.service?.map(({ name }) => name) ?? [];
    t.true(names.includes('vexfs.coordinator.v1.Coordinator'), names.join());
    t.true(names.includes('grpc.health.v1.Health'));
    t.true((answers[1]?.fileDescriptorResponse?.fileDescriptorProto?.[0]?.length ?? 0) > 500);
  });
}

test('members are changed and snapshots fetched over the wire, and refusals keep their code', async (t) => {
  const { node, client } = await serve(t);
  const changed = await client.addMember('b', '127.0.0.1:1');
  t.deepEqual([changed.index, changed.settled, changed.members[0]?.id], [2n ** 64n - 3n, true, 'memory']);
  await client.promoteMember('b');
  await client.removeMember('c');
  await client.replaceMember('a', 'b');
  await client.transferLeadership('b');
  await client.transferLeadership('b', { group: 0 });
  t.deepEqual(node.changes, ['add b=127.0.0.1:1', 'promote b', 'remove c', 'replace a b', 'transfer b all', 'transfer b 0']);
  t.deepEqual((await client.listMembers()).map(({ id }) => id), ['memory']);
  node.refusals.set('remove last', new CoordinatorError('LAST_VOTER', 'last is the last voter', { details: { id: 'last' } }));
  const refusal = await t.throwsAsync(client.removeMember('last'), { instanceOf: CoordinatorError, code: 'LAST_VOTER', message: 'last is the last voter' });
  t.deepEqual([refusal?.committed, refusal?.details], ['no', { id: 'last' }]);

  t.deepEqual(await client.replication(), { version: 0n, regions: {}, rules: [] });
  const rules = { regions: { r: ['d'] }, rules: [{ name: 'x', match: { path: '/x/**' }, holders: { regions: ['r'] } }] };
  t.deepEqual(await client.setReplication(rules), { version: 2n ** 64n - 2n, ...rules });
  t.deepEqual(await client.replication(), { version: 2n ** 64n - 2n, ...rules });
  node.refusals.set('rules 0', new CoordinatorError('REPLICATION_INVALID', 'no rules'));
  await t.throwsAsync(client.setReplication({ rules: [] }), { code: 'REPLICATION_INVALID', message: 'no rules' });

  const snapshot = await client.saveSnapshot({ group: 5 });
  t.deepEqual([snapshot.group, snapshot.index, snapshot.bytes], [5, 2n ** 64n - 4n, 100_007]);
  const chunks: Uint8Array[] = [];
  for await (const chunk of snapshot.chunks) chunks.push(chunk);
  t.true(Buffer.concat(chunks).equals(Buffer.concat([Buffer.alloc(100_000, 1), Buffer.alloc(7, 2)])));
});
