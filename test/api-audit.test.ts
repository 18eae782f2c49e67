/** The record of what operators do: what is on it, and that nothing is done that is not. */
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ApiClient, ApiServer } from '../dist/api/index.js';
import { AuditLog } from '../dist/api/audit-log.js';
import type { CertificateRole } from '../dist/config/index.js';
import type { Credentials } from '../dist/network/credentials.js';
import { MemoryNode } from './api-memory-node.js';
import { Authority } from './fixtures/certificates.js';
import { codeOf, room, until } from './helpers/cluster.js';

interface Line {
  readonly call: string;
  readonly asks?: string;
  readonly ends?: string;
  readonly [field: string]: unknown;
}

const linesOf = (path: string): Line[] => readFileSync(path, 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line));

async function serve(t: ExecutionContext, authority: Authority | null, path = join(room(t), 'audit.jsonl')) {
  const node = new MemoryNode();
  const certificates = authority === null ? null : { current: await authority.credentials('a'), onTaken: () => {} };
  const server = await ApiServer.start(node, { address: '127.0.0.1:0', certificates, auditFile: path });
  t.teardown(() => server.close());
  const as = async (role: CertificateRole | null): Promise<{ client: ApiClient; credentials: Credentials | null }> => {
    const credentials = role === null || authority === null ? null : await authority.credentials(`the-${role}`, { role });
    const client = new ApiClient(server.address, { tls: credentials });
    t.teardown(() => client.close());
    return { client, credentials };
  };
  return { node, path, as };
}

test('what an operator asks for is on record before it is done, and so is what came of it', async (t) => {
  const { node, path, as } = await serve(t, await Authority.new());
  const { client, credentials } = await as('operator');
  const before: Line[][] = [];
  Object.assign(node.members, {
    transferLeadership: async () => {
      before.push(linesOf(path));
    },
  });
  await client.addMember('d', '127.0.0.1:9');
  await client.transferLeadership('b', { group: 3 });
  await until('both ends', () => linesOf(path).length === 4);
  const lines = linesOf(path);
  const by = { role: 'operator', name: 'the-operator', serial: credentials?.serial };
  const calls = lines.filter(({ asks }) => asks !== undefined);
  t.like(calls[0], { asks: 'ChangeMembers', node: 'memory', by, request: { add: { id: 'd', address: '127.0.0.1:9' } } });
  t.like(calls[1], { asks: 'TransferLeadership', by, request: { to: 'b', group: 3 } });
  for (const { call, at } of calls) {
    t.true(Math.abs(Date.parse(String(at)) - Date.now()) < 60_000);
    t.like(lines.find((line) => line.call === call && line.ends !== undefined), { code: 'OK' });
  }
  t.is(before[0]?.at(-1)?.asks, 'TransferLeadership');
});

test('what fails is on record with its code, whoever only reads is not, and who may not is not', async (t) => {
  const { node, path, as } = await serve(t, await Authority.new());
  const { client } = await as('operator');
  const refuse = (): Promise<never> => Promise.reject(Object.assign(new Error('no'), { code: 'E' }));
  Object.assign(node.members, { transferLeadership: refuse });
  t.is(await codeOf(client.transferLeadership('b')), 'INTERNAL');
  await client.status();
  t.is(await codeOf((await as('publisher')).client.transferLeadership('b')), 'PERMISSION_DENIED');
  await until('the end', () => linesOf(path).length === 2);
  t.like(linesOf(path)[1], { ends: 'TransferLeadership', code: 'INTERNAL' });
});

test('what is broken off, or cut off when the node closes, is on record with an end', async (t) => {
  const path = join(room(t), 'audit.jsonl');
  const node = new MemoryNode();
  const server = await ApiServer.start(node, { address: '127.0.0.1:0', auditFile: path });
  const client = new ApiClient(server.address);
  t.teardown(() => client.close());
  let called = 0;
  Object.assign(node.members, { transferLeadership: () => new Promise(() => void called++) });
  const abort = new AbortController();
  const broken = codeOf(client.transferLeadership('b', { signal: abort.signal }));
  await until('the call', () => called === 1);
  abort.abort();
  await broken;
  await until('its end', () => linesOf(path).length === 2);
  const cut = codeOf(client.transferLeadership('c'));
  await until('another', () => called === 2);
  await server.close();
  await cut;
  const lines = linesOf(path);
  for (const { call } of lines.filter(({ asks }) => asks !== undefined)) {
    t.like(lines.find((line) => line.call === call && line.ends !== undefined), { ends: 'TransferLeadership', code: 'ABORTED' });
  }
  t.is(lines.length, 4);
});

test('on a plain port nobody is named', async (t) => {
  const { path, as } = await serve(t, null);
  const { client } = await as(null);
  await client.removeMember('b');
  t.like(linesOf(path)[0], { asks: 'ChangeMembers', by: null, request: { remove: 'b' } });
  t.regex(String(linesOf(path)[0]?.['from']), /^(127\.0\.0\.1|\[?::1\]?):\d+$/);
});

test('what cannot be recorded is not done', async (t) => {
  const { node, as } = await serve(t, null, '/dev/full');
  let done = 0;
  Object.assign(node.members, { transferLeadership: () => Promise.resolve(void done++) });
  const { client } = await as(null);
  const error = await t.throwsAsync(client.transferLeadership('b'), { code: 'AUDIT_FAILED', message: /^TransferLeadership is not done/ });
  t.is((error as unknown as { committed: string }).committed, 'no');
  t.is(done, 0);
  const directory = join(room(t), 'audit.jsonl');
  mkdirSync(directory);
  t.is(await codeOf(ApiServer.start(new MemoryNode(), { address: '127.0.0.1:0', auditFile: directory })), 'AUDIT_FAILED');
});

test('a request that is long is cut', async (t) => {
  const { path, as } = await serve(t, null);
  const { client } = await as(null);
  await client.transferLeadership('b'.repeat(100_000));
  t.true(readFileSync(path).length < 5_000);
});

test('the file is bounded, the one before it is kept, and each line is whole', async (t) => {
  const path = join(room(t), 'audit.jsonl');
  const log = await AuditLog.open(path, 1000);
  await Promise.all(Array.from({ length: 100 }, (_, at) => log.append({ at, text: 'ä'.repeat(20) })));
  await log.close();
  const [kept, last] = [linesOf(`${path}.1`), linesOf(path)];
  for (const file of [path, `${path}.1`]) t.true(readFileSync(file).length <= 1000);
  t.deepEqual([...kept, ...last].map(({ at }) => at), Array.from({ length: kept.length + last.length }, (_, at) => 100 - kept.length - last.length + at));
});

test('a part of a line that a crash has left does not spoil the next', async (t) => {
  const path = join(room(t), 'audit.jsonl');
  writeFileSync(path, '{"at":1}\n{"at":');
  const log = await AuditLog.open(path);
  await log.append({ at: 3 });
  await log.close();
  t.is(readFileSync(path, 'utf8'), '{"at":1}\n{"at":\n{"at":3}\n');
});

test('the file is made its owner\'s alone, and a link is no file', async (t) => {
  const path = join(room(t), 'audit.jsonl');
  writeFileSync(path, '{"at":1}\n', { mode: 0o644 });
  const log = await AuditLog.open(path);
  await log.append({ at: 2 });
  await log.close();
  t.is(statSync(path).mode & 0o777, 0o600);
  t.deepEqual(linesOf(path), [{ at: 1 }, { at: 2 }]);
  const link = `${path}.link`;
  symlinkSync(path, link);
  await t.throwsAsync(AuditLog.open(link), { code: 'ELOOP' });
});
