/** Who may call what over the API, by certificates. */
import { connect } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApiClient, ApiServer, OrderedPublisher } from '../dist/api/index.js';
import { rolesFor } from '../dist/api/permissions.js';
import { METHODS, SERVICE_NAME } from '../dist/api/schema.js';
import { CERTIFICATE_ROLES, type CertificateRole } from '../dist/config/index.js';
import { newEventId } from '../dist/events/index.js';
import type { Credentials } from '../dist/network/credentials.js';
import { MemoryNode } from './api-memory-node.js';
import { vexcoord } from './cli-run.js';
import { Authority, type CertificateChanges } from './fixtures/certificates.js';
import { codeOf, room, until } from './helpers/cluster.js';
import { forEveryPurpose } from './helpers/openssl.js';

const EVENT = { type: 'FilesystemWrite', path: '/x' } as const;

/** What a running node has of certificates. */
class Served {
  readonly #listeners: ((credentials: Credentials) => void)[] = [];
  constructor(public current: Credentials) {}
  onTaken(listener: (credentials: Credentials) => void): void {
    this.#listeners.push(listener);
  }
  take(credentials: Credentials): void {
    this.current = credentials;
    for (const listener of this.#listeners) listener(credentials);
  }
}

async function serve(t: ExecutionContext, authority: Authority) {
  const node = new MemoryNode();
  const certificates = new Served(await authority.credentials('a'));
  const server = await ApiServer.start(node, { address: '127.0.0.1:0', certificates });
  t.teardown(() => server.close());
  const as = async (role: CertificateRole, changes: CertificateChanges = {}): Promise<{ client: ApiClient; credentials: Credentials }> => {
    const credentials = await authority.credentials('me', { role, ...changes });
    return { client: dial(t, server, credentials), credentials };
  };
  return { node, server, certificates, as };
}

function dial(t: ExecutionContext, server: ApiServer, tls: Credentials | null): ApiClient {
  const client = new ApiClient(server.address, { tls });
  t.teardown(() => client.close());
  return client;
}

test('who may not call something is told whose certificate it is, and what it takes', async (t) => {
  const { as } = await serve(t, await Authority.new());
  const { client } = await as('reader');
  const error = await t.throwsAsync(client.publish({ id: newEventId(), ...EVENT }));
  t.is(error?.message, 'reader "me" of cluster "test" may not call Publish; that takes the role publisher or operator');
  t.is((error as { committed?: string }).committed, 'no');
});

test('a call that the table of permissions does not name is for nobody', (t) => {
  for (const path of [`/${SERVICE_NAME}/Unheard`, `/${SERVICE_NAME}/constructor`, '/somebody.elses.Service/Call', '', '/']) t.deepEqual(rolesFor(path), [], path);
  for (const service of ['grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection']) t.is(rolesFor(`/${service}/Any`).length, CERTIFICATE_ROLES.length, service);
});

test('every call is refused to every role that the documents do not give it', async (t) => {
  const { as } = await serve(t, await Authority.new());
  const reads = ['Subscribe', 'Read', 'ReadBarrier', 'Status', 'Relation', 'RelatedEvents', 'ListMembers', 'Replication'];
  const publishes = ['Publish', 'PublishBatch', 'PublishStream', 'Outcome'];
  const operates = ['ChangeMembers', 'TransferLeadership', 'SetReplication', 'SaveSnapshot'];
  t.deepEqual([...METHODS].sort(), [...reads, ...publishes, ...operates].sort());
  const may: Record<CertificateRole, string[]> = { node: reads, reader: reads, publisher: [...reads, ...publishes], operator: [...reads, ...publishes, ...operates] };
  for (const role of CERTIFICATE_ROLES) {
    const { client } = await as(role);
    const { causality } = client;
    const calls: Record<string, () => Promise<unknown>> = {
      Publish: () => client.publish({ id: newEventId(), ...EVENT }),
      PublishBatch: () => client.publishBatch([{ id: newEventId(), ...EVENT }]),
      PublishStream: async () => {
        const publisher = new OrderedPublisher([client]);
        const outcome = await publisher.submit({ id: newEventId(), ...EVENT });
        publisher.close();
        if (outcome instanceof Error) throw outcome;
      },
      Outcome: () => client.outcome(newEventId()),
      Subscribe: async () => {
        const subscription = client.subscribe({ from: '0 of nothing' });
        await subscription[Symbol.asyncIterator]().next();
      },
      Read: () => client.read(newEventId()),
      ReadBarrier: () => client.readBarrier(),
      Status: () => client.status(),
      Relation: () => causality.relation(newEventId(), newEventId()),
      RelatedEvents: async () => {
        for await (const _ of causality.causesOf(newEventId())) break;
      },
      ListMembers: () => client.listMembers(),
      ChangeMembers: () => client.removeMember('x'),
      TransferLeadership: () => client.transferLeadership('x'),
      Replication: () => client.replication(),
      SetReplication: () => client.setReplication({ rules: [] }),
      SaveSnapshot: () => client.saveSnapshot(),
    };
    const allowed: string[] = [];
    for (const [name, call] of Object.entries(calls)) if ((await codeOf(call())) !== 'PERMISSION_DENIED') allowed.push(name);
    t.deepEqual(allowed.sort(), [...may[role]].sort(), role);
  }
});

test('a call that is cut off when its certificate is revoked may have done what it asked for, and says so', async (t) => {
  const { node, certificates, as } = await serve(t, await Authority.new());
  const { client, credentials } = await as('publisher');
  const publish = node.publish.bind(node);
  let aborted = false;
  // In the log, and not yet answered.
  node.publish = async (event, options) => {
    await publish(event, options);
    await new Promise((resolve) => options?.signal?.addEventListener('abort', resolve));
    aborted = true;
    throw new Error('nobody hears this');
  };
  const cut = t.throwsAsync(client.publish({ id: newEventId(), ...EVENT }));
  await until('the event', () => node.journal.length === 1);
  certificates.take({ ...certificates.current, revoked: [credentials.serial] });
  t.like(await cut, { code: 'PERMISSION_DENIED', committed: 'unknown' });
  await until('the end of what the call had begun', () => aborted);
  t.like(await t.throwsAsync(client.status()), { code: 'PERMISSION_DENIED', committed: 'no' });
});

test('streams are allowed by role too: a reader subscribes, and cannot publish by one', async (t) => {
  const { as } = await serve(t, await Authority.new());
  const [{ client: reader }, { client: publisher }] = [await as('reader'), await as('publisher')];
  const subscription = reader.subscribe({ from: 'first' });
  const first = subscription[Symbol.asyncIterator]().next();
  const [publishing, reading] = [new OrderedPublisher([publisher]), new OrderedPublisher([reader])];
  const event = { id: newEventId(), ...EVENT };
  t.false((await publishing.submit(event)) instanceof Error);
  t.is((await first).value?.event.id, event.id);
  const refused = await reading.submit({ id: newEventId(), ...EVENT });
  t.is((refused as { code?: string }).code, 'PERMISSION_DENIED');
  publishing.close();
  reading.close();
  await subscription.close();
});

test('who is not believed gets no answer: no certificate, another authority, an expired one, an older TLS, none', async (t) => {
  const [authority, other] = [await Authority.new(), await Authority.new()];
  const { server, as } = await serve(t, authority);
  const stranger = await other.credentials('me', { role: 'operator' });
  t.is(await codeOf(dial(t, server, { ...stranger, ca: authority.cert }).status({ timeoutMs: 1_000 })), 'UNAVAILABLE');
  t.is(await codeOf((await as('operator', { untilMs: -1_000 })).client.status({ timeoutMs: 1_000 })), 'UNAVAILABLE');
  t.is(await codeOf(dial(t, server, null).status({ timeoutMs: 1_000 })), 'UNAVAILABLE');
  const { client: elsewhere } = await as('operator', { clusterId: 'other' });
  // It looks for a node of its own cluster.
  t.is(await codeOf(elsewhere.status({ timeoutMs: 1_000 })), 'UNAVAILABLE');
  const { cert, key } = (await as('operator')).credentials;
  const older = connect({ host: server.host, port: server.port, cert, key, rejectUnauthorized: false, maxVersion: 'TLSv1.2' });
  t.regex((await new Promise<Error>((resolve) => older.once('error', resolve))).message, /protocol version/);
});

test('who has TLS where the node has none, or none where it has, is told what to do', async (t) => {
  const authority = await Authority.new();
  const { server, as } = await serve(t, authority);
  const plainServer = await ApiServer.start(new MemoryNode(), { address: '127.0.0.1:0' });
  t.teardown(() => plainServer.close());
  const told = async (client: ApiClient): Promise<string> => {
    const error = await t.throwsAsync(client.status({ timeoutMs: 1_000 }));
    t.like(error, { code: 'UNAVAILABLE', committed: 'no' });
    return error!.message;
  };
  const closed = /^the node closed the connection before anything was asked: if it has security\.tls, --tls-ca, --tls-cert and --tls-key have to name/;
  t.regex(await told(dial(t, server, null)), closed);
  t.regex(await told((await as('operator', { untilMs: -1_000 })).client), closed);
  t.regex(await told(dial(t, plainServer, (await as('operator')).credentials)), /^the node speaks no TLS, and certificates were given for it: leave out --tls-ca/);
  t.regex(await told(new ApiClient('127.0.0.1:1')), /ECONNREFUSED/);
  const command = await vexcoord(['status', '--api', server.address]);
  t.regex(command.stderr, /if it has security\.tls, --tls-ca/);
});

test('a client does not speak to who is no node of its cluster, at whatever address', async (t) => {
  const authority = await Authority.new();
  const impostor = new Served(await authority.credentials('a', { role: 'operator' }));
  const server = await ApiServer.start(new MemoryNode(), { address: '127.0.0.1:0', certificates: impostor });
  t.teardown(() => server.close());
  t.is(await codeOf(dial(t, server, await authority.credentials('me', { role: 'operator' })).status({ timeoutMs: 1_000 })), 'UNAVAILABLE');
  t.throws(() => new ApiClient(server.address, { tls: { ca: 'x', cert: 'y', key: 'z' } }), { code: 'CERTIFICATE_INVALID' });
});

test('a client does not speak to an operator who answers, though the certificate is for every purpose', async (t) => {
  for (const [role, code] of [['node', 'none'], ['operator', 'UNAVAILABLE']] as const) {
    const dir = room(t);
    const own = forEveryPurpose(t, dir, `vexfs://test/${role}/a`);
    if (own === null) return;
    const server = await ApiServer.start(new MemoryNode(), { address: '127.0.0.1:0', certificates: { current: { ...own, revoked: [] }, onTaken: () => {} } });
    t.teardown(() => server.close());
    // Whoever asks has the same one: it is for both sides.
    const client = new ApiClient(server.address, { tls: own });
    t.teardown(() => client.close());
    t.is(await codeOf(client.status()), code, role);
  }
});

test('new certificates are taken up; what is open goes on, but for a revoked one, whose calls end', async (t) => {
  const authority = await Authority.new();
  const { node, server, certificates, as } = await serve(t, authority);
  const { client: reader, credentials: ofReader } = await as('reader');
  const { client: publisher } = await as('publisher');
  const streams = [reader.subscribe({ from: 'first' }), publisher.subscribe({ from: 'first' })];
  const received = [0, 0];
  const ends = streams.map(async (stream, at) => {
    for await (const _ of stream) received[at]! += 1;
  });
  await publisher.publish({ id: newEventId(), ...EVENT });
  await until('the first event', () => received.every((count) => count === 1));

  const renewed = await authority.credentials('a');
  certificates.take(renewed);
  await publisher.publish({ id: newEventId(), ...EVENT });
  await until('the second event', () => received.every((count) => count === 2));
  const socket = connect({ host: server.host, port: server.port, cert: ofReader.cert, key: ofReader.key, ca: authority.cert, checkServerIdentity: () => undefined });
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  t.is(socket.getPeerCertificate().serialNumber.toLowerCase(), renewed.serial);
  socket.destroy();

  certificates.take({ ...renewed, revoked: [ofReader.serial] });
  const error = await t.throwsAsync(ends[0]!);
  t.like(error, { code: 'PERMISSION_DENIED' });
  t.regex(error!.message, /of reader "me" of cluster "test" was revoked/);
  t.is(await codeOf(reader.status()), 'PERMISSION_DENIED');
  t.is(await codeOf(dial(t, server, ofReader).status()), 'PERMISSION_DENIED');
  await publisher.publish({ id: newEventId(), ...EVENT });
  await until('the third event', () => received[1] === 3);
  t.is(received[0], 2);
  t.is(node.journal.length, 3);
  await streams[1]!.close();
  await ends[1];
});

test('vexcoord proves itself by --tls-ca, --tls-cert and --tls-key', async (t) => {
  const authority = await Authority.new();
  const { server, as } = await serve(t, authority);
  const dir = join(room(t), 'tls');
  mkdirSync(dir);
  const { credentials } = await as('reader');
  const flags = (['ca', 'cert', 'key'] as const).flatMap((part) => {
    writeFileSync(join(dir, part), credentials[part]);
    return [`--tls-${part}`, join(dir, part)];
  });
  const status = await vexcoord(['status', '--api', server.address, ...flags, '--output', 'json']);
  t.is(status.status, 0, status.stderr);
  t.is(status.stderr, '');
  const publish = await vexcoord(['publish', '--api', server.address, ...flags], JSON.stringify(EVENT));
  t.is(publish.status, 1);
  t.regex(publish.stdout, /"PERMISSION_DENIED"/);
  const half = await vexcoord(['status', '--api', server.address, ...flags.slice(0, 4)]);
  t.is(half.status, 2);
  t.regex(half.stderr, /^USAGE: --tls-ca, --tls-cert and --tls-key go together/);
  const missing = await vexcoord(['status', '--api', server.address, ...flags.slice(0, 5), join(dir, 'nothing')]);
  t.regex(missing.stderr, /^CONFIG_INVALID: --tls-key: .*nothing cannot be read/);
});
