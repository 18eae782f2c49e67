/** Tokens in files: how `vexcoord token` makes them, how nodes read them, and how commands show them. */
import { spawn } from 'node:child_process';
import { appendFileSync, chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { ApiServer } from '../dist/api/index.js';
import { CertificateDirectory } from '../dist/cli/cert/directory.js';
import { TokenDirectory } from '../dist/cli/token/directory.js';
import { parseToken, type ResolvedConfig } from '../dist/config/index.js';
import { Tokens } from '../dist/coordinator/tokens.js';
import type { FilesChange } from '../dist/index.js';
import { newToken, readTokens, tokenHash, TokenTable } from '../dist/network/tokens.js';
import { MemoryNode } from './api-memory-node.js';
import { COMMAND, vexcoord } from './cli-run.js';
import { Authority } from './fixtures/certificates.js';
import { ServedTokenList } from './fixtures/tokens.js';
import { codeOf, Plan, room, until } from './helpers/cluster.js';

const DAY_MS = 86_400_000;
const modeOf = (file: string): number => statSync(file).mode & 0o777;

test('a token is 256 random bits behind a beginning that tells it from all else', (t) => {
  const tokens = Array.from({ length: 100 }, () => newToken({ clusterId: 'test', name: 'a.b_c-d' }));
  t.is(new Set(tokens).size, tokens.length);
  for (const token of tokens) {
    t.regex(token, /^vexfs-token\/[A-Za-z0-9._-]{1,64}\/[A-Za-z0-9._-]{1,64}\/[A-Za-z0-9_-]{43}$/);
    t.is(Buffer.from(token.split('/')[3]!, 'base64url').length, 32);
    t.deepEqual(parseToken(token), { clusterId: 'test', name: 'a.b_c-d' });
  }
});

test('a token is found by its whole text, and no other passes for it', (t) => {
  const list = new ServedTokenList();
  const [one, two] = [list.add('one', 'reader'), list.add('two', 'operator')];
  const table = new TokenTable(list.current);
  t.is(table.find(one)?.name, 'one');
  t.is(table.find(two)?.role, 'operator');
  const secret = two.split('/')[3];
  for (const wrong of [`vexfs-token/test/one/${secret}`, `vexfs-token/other/two/${secret}`, `vexfs-token/test/three/${secret}`, two.slice(0, -1), `${two} `, '', 'vexfs-token/test/two/'.padEnd(two.length, 'A')]) {
    t.is(table.find(wrong), null, wrong);
  }
});

test('create puts the hash into one file and the token into another, both for their owner alone; list and revoke add to it', async (t) => {
  const dir = join(room(t), 'tokens');
  const run = (...args: string[]) => vexcoord(['token', ...args, '--dir', dir, '--output', 'json']);
  const created = await run('create', '--name', 'deploy', '--role', 'operator', '--cluster-id', 'test', '--days', '90');
  t.is(created.status, 0, created.stderr);
  const made = JSON.parse(created.stdout);
  t.deepEqual([made.tokens, made.token, made.name, made.role], [join(dir, 'tokens'), join(dir, 'deploy.token'), 'deploy', 'operator']);
  const token = readFileSync(made.token, 'utf8').trim();
  t.deepEqual(parseToken(token), { clusterId: 'test', name: 'deploy' });
  t.deepEqual([modeOf(made.tokens), modeOf(made.token), modeOf(dir)], [0o600, 0o600, 0o700]);
  const secret = token.split('/')[3]!;
  t.false(readFileSync(made.tokens, 'utf8').includes(secret));
  t.false(created.stdout.includes(secret) || created.stderr.includes(secret));
  const [record] = await readTokens(made.tokens);
  t.like(record, { name: 'deploy', role: 'operator', sha256: tokenHash(token), revokedMs: null });
  t.is(record!.expiresMs! - record!.createdMs, 90 * DAY_MS);
  t.is(new Date(record!.expiresMs!).toISOString(), made.expires);

  const again = await run('create', '--name', 'deploy', '--role', 'reader');
  t.is(again.status, 1);
  t.regex(again.stderr, /^TOKEN_EXISTS: /);
  t.is((await run('create', '--name', 'ci', '--role', 'publisher')).status, 0);
  t.is((await run('revoke', '--name', 'deploy')).status, 0);
  t.is((await run('revoke', '--name', 'deploy')).status, 0, 'twice does no harm');
  t.regex((await run('revoke', '--name', 'nobody')).stderr, /^NOT_FOUND: /);
  t.regex((await run('create', '--name', 'deploy', '--role', 'reader')).stderr, /^TOKEN_EXISTS: /, 'a name is not used again');
  const { tokens } = JSON.parse((await run('list')).stdout);
  t.deepEqual(
    tokens.map(({ name, role, state, expires }: Record<string, unknown>) => [name, role, state, expires === null]),
    [['deploy', 'operator', 'revoked', false], ['ci', 'publisher', 'good', true]],
  );
  t.is((await vexcoord(['token', 'create', '--dir', dir, '--name', 'n', '--role', 'node'])).status, 2);
  t.deepEqual(readdirSync(dir).sort(), ['ci.token', 'deploy.token', 'tokens']);
});

test('of many commands at once that make a token of one name, one does', async (t) => {
  const dir = room(t);
  const codes = await Promise.all(Array.from({ length: 8 }, () => codeOf(new TokenDirectory(dir).create({ clusterId: 'test', name: 'x' }, 'reader', null))));
  t.deepEqual(codes.filter((code) => code !== 'TOKEN_EXISTS'), ['none']);
  const [record, ...more] = await new TokenDirectory(dir).list();
  t.deepEqual([more.length, record?.sha256], [0, tokenHash(readFileSync(join(dir, 'x.token'), 'utf8').trim())]);
});

test('a file with a line that cannot be read is refused as a whole, with a sentence that names the line', async (t) => {
  const file = join(room(t), 'tokens');
  const line = { name: 'a', role: 'reader', sha256: 'a'.repeat(64), created: '2026-01-01T00:00:00Z' };
  const why = async (...lines: (object | string)[]): Promise<string> => {
    writeFileSync(file, lines.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))).join('\n'));
    return readTokens(file).then((records) => `${records.length} tokens`, (error) => `${error.code} ${error.message}`);
  };
  t.is(await why(''), '0 tokens');
  t.is(await why(line, '', { ...line, name: 'b', expires: '2027-01-01T00:00:00Z' }, { name: 'a', revoked: '2026-02-01T00:00:00Z' }, ''), '2 tokens');
  t.regex(await why(line, '{"name": "b"'), /^CONFIG_INVALID security\.api\.tokens: .*tokens line 2 is no JSON$/);
  t.regex(await why('[]', line), /line 1 has no name of a token/);
  t.regex(await why('null'), /line 1 is no JSON object/);
  t.regex(await why({ ...line, role: 'node' }), /line 1 has no role; it is one of reader, publisher, operator/);
  t.regex(await why({ ...line, role: undefined }), /line 1 has no role/);
  t.regex(await why({ ...line, name: '../x' }), /has no name of a token/);
  t.regex(await why({ ...line, sha256: 'A'.repeat(64) }), /has no sha256 of a token/);
  t.regex(await why({ ...line, created: undefined }), /does not say when/);
  for (const field of ['created', 'expires', 'revoked']) t.regex(await why({ ...line, [field]: 'soon' }), /has a time that is none/, field);
  t.regex(await why({ ...line, expires: null }), /has a time that is none/);
  t.regex(await why(line, line), /line 2 makes "a" a second time/);
  t.regex(await why({ name: 'a', revoked: '2026-02-01T00:00:00Z' }, line), /line 1 revokes "a", which no line before it has made/);
  t.regex(await why({ ...line, onlyFrom: '10.0.0.1' }), /line 1 has "onlyFrom", which this release does not know/);
  t.regex(await why(...Array.from({ length: 1_001 }, (_, at) => ({ ...line, name: `n${at}` }))), /has 1001 tokens; at most 1000 are taken/);
  t.regex(await why('x'.repeat(1024 * 1024 + 1)), /has 1048577 bytes; at most 1048576 are read/);
  t.regex(await readTokens(join(file, 'x')).then(String, String), /cannot be read: ENOTDIR/);
});

const openTokens = async (path: string, nowMs: () => number, changes: FilesChange[] = []): Promise<Tokens> => {
  const tokens = await Tokens.open({ security: { api: { tokens: path } } } as ResolvedConfig, { nowMs, onChange: (change) => changes.push(change) });
  return tokens!;
};

test('health names a token that expires soon, by how long it was made for, or has expired lately', async (t) => {
  const directory = new TokenDirectory(room(t));
  for (const [name, days] of [['quarter', 90], ['days', 10], ['never', null], ['gone', 90]] as const) await directory.create({ clusterId: 'test', name }, 'reader', days);
  await directory.revoke('gone');
  let inDays = 0;
  const tokens = await openTokens(directory.tokens, () => Date.now() + inDays * DAY_MS);
  const named = (days: number): string => {
    inDays = days;
    return tokens.reasons().join();
  };
  t.is(named(0), '');
  t.is(named(8.5), '');
  t.regex(named(9.5), /^of the tokens of the API "days" expires at [^ ]+Z$/);
  t.regex(named(10.5), /^of the tokens of the API "days" expired at [^ ]+Z$/);
  t.is(named(12), '');
  t.is(named(82), '');
  t.regex(named(84), /^of the tokens of the API "quarter" expires at [^ ]+Z$/);
  t.regex(named(96), /"quarter" expired at/);
  t.is(named(98), '');
});

test('the file is taken up when it changes, refused when it is not good, and its mode is looked at', async (t) => {
  const directory = new TokenDirectory(room(t));
  await directory.create({ clusterId: 'test', name: 'a' }, 'reader', null);
  const changes: FilesChange[] = [];
  const tokens = await openTokens(directory.tokens, Date.now, changes);
  t.teardown(() => tokens.close());
  t.is(await tokens.exposure(), null);
  chmodSync(directory.tokens, 0o640);
  t.is(await tokens.exposure(), null);
  for (const mode of [0o604, 0o602]) {
    chmodSync(directory.tokens, mode);
    t.regex((await tokens.exposure()) ?? '', new RegExp(`^security\\.api\\.tokens: .*tokens is open to everybody on this machine \\(mode ${mode.toString(8)}\\)`));
  }
  const taken: number[] = [];
  tokens.onTaken((records) => taken.push(records.filter(({ revokedMs }) => revokedMs === null).length));
  tokens.watch();
  await directory.revoke('a');
  await until('the revocation', () => taken.length === 1);
  t.deepEqual([taken[0], changes[0]?.state, changes[0]?.sentence], [0, 'taken', 'a new file of tokens is taken up: 1 tokens, 1 of them revoked']);
  appendFileSync(directory.tokens, 'half a li');
  await until('the refusal', () => changes.length === 2);
  t.regex(tokens.reasons().join(), /^the file of tokens is refused, and the one before it goes on: security\.api\.tokens: .* line 3 is no JSON$/);
  t.is(tokens.current.length, 1);
  t.like(await tokens.reload(), { state: 'refused' });
});

async function serving(t: ExecutionContext) {
  const authority = await Authority.new();
  const tokens = new ServedTokenList();
  const server = await ApiServer.start(new MemoryNode(), { address: '127.0.0.1:0', certificates: { current: await authority.credentials('a'), onTaken: () => {} }, tokens });
  t.teardown(() => server.close());
  const dir = room(t);
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };
  return { server, tokens, file, ca: file('ca', authority.cert), credentials: await authority.credentials('me', { role: 'reader' }) };
}

test('vexcoord shows a token by --token-file or its variable, and takes none as an argument', async (t) => {
  const { server, tokens, file, ca, credentials } = await serving(t);
  const token = tokens.add('p', 'publisher');
  const secret = file('p.token', `${token}\n`);
  const at = ['--api', server.address, '--tls-ca', ca];
  const published = await vexcoord(['publish', ...at, '--token-file', secret], '{"type": "FilesystemWrite", "path": "/x"}');
  t.is(published.status, 0, published.stderr + published.stdout);
  const status = await vexcoord(['status', ...at, '--token-file', secret, '--output', 'json']);
  t.is(status.status, 0, status.stderr);
  const fromEnvironment = await shell({ VEXCOORD_TOKEN: token }, ['status', ...at]);
  t.is(fromEnvironment.status, 0, fromEnvironment.stderr);
  // The flag goes before the variable.
  t.is((await shell({ VEXCOORD_TOKEN: 'nonsense' }, ['status', ...at, '--token-file', secret])).status, 0);
  t.regex((await shell({ VEXCOORD_TOKEN: 'nonsense' }, ['status', ...at])).stderr, /^TOKEN_INVALID: /);
  t.regex((await vexcoord(['status', ...at, '--token', token])).stderr, /^USAGE: unknown option '--token'/);
  t.regex((await vexcoord(['status', ...at, '--token-file', join(secret, 'x')])).stderr, /^CONFIG_INVALID: --token-file: .* cannot be read/);
  t.regex((await vexcoord(['status', ...at])).stderr, /^USAGE: --tls-ca, --tls-cert and --tls-key go together/);
  t.regex((await vexcoord(['status', '--api', '10.0.0.1:7401', '--token-file', secret])).stderr, /^ADDRESS_REFUSED: the token of "p" would go to 10\.0\.0\.1:7401 in plain text/);
  const both = ['--tls-cert', file('cert', credentials.cert), '--tls-key', file('key', credentials.key), '--token-file', secret];
  t.is((await vexcoord(['publish', ...at, ...both], '{"type": "FilesystemWrite", "path": "/y"}')).status, 0);
  tokens.revoke('p');
  const revoked = await vexcoord(['status', ...at, '--token-file', secret]);
  t.is(revoked.status, 1);
  t.regex(revoked.stderr, /^UNAUTHENTICATED: the token of publisher "p" of cluster "test" was revoked/);
});

/** Runs `vexcoord` to its end with these variables of its own alone. */
function shell(variables: Record<string, string>, args: readonly string[]): Promise<{ status: number | null; stderr: string }> {
  const { PATH = '' } = process.env;
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH, ...variables } });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve) => child.once('close', (status) => resolve({ status, stderr })));
}

test('a node over TLS takes tokens from a file, and reads it again on SIGHUP: a revoked one is cut at once', async (t) => {
  const dir = room(t);
  const certificates = new CertificateDirectory(dir);
  const { ca, cert, key } = await certificates.create({ clusterId: 'test', role: 'node', name: 'a' }, [], 30);
  const directory = new TokenDirectory(dir);
  const [{ token: operator }, { token: other }] = [await directory.create({ clusterId: 'test', name: 'op' }, 'operator', null), await directory.create({ clusterId: 'test', name: 'other' }, 'operator', 30)];
  chmodSync(directory.tokens, 0o644);
  const plan = await Plan.of(t, {}, ['a']);
  const flags = ['--node-id', 'a', '--cluster-id', 'test', '--data-dir', plan.dataDir('a'), '--listen', plan.address('a'), '--api', '127.0.0.1:0', '--tls-ca', ca, '--tls-cert', cert, '--tls-key', key];
  // The variable of callers is none of a node's.
  const child = spawn(process.execPath, [COMMAND, 'serve', ...flags, '--api-tokens', directory.tokens, '--limits-api-caller-connections-max', '1', '--output', 'json'], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, VEXCOORD_TOKEN: 'x' } });
  t.teardown(() => void child.kill('SIGKILL'));
  const log: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => log.push(line));
  const { api } = await new Promise<{ api: string }>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', (line) => resolve(JSON.parse(line)));
    child.once('exit', (status) => reject(new Error(`exit ${status}: ${log.join('\n')}`)));
  });
  child.removeAllListeners('exit');
  await until('the word of a file that all may read', () => log.some((line) => /tokens is open to everybody on this machine \(mode 644\)/.test(line)));
  const at = (file: string): string[] => ['--api', api, '--tls-ca', ca, '--token-file', file];
  const added = await vexcoord(['member', 'add', 'b=127.0.0.1:9', ...at(operator), '--output', 'json']);
  t.is(added.status, 0, added.stderr);
  const audit = readFileSync(join(plan.dataDir('a'), 'audit.jsonl'), 'utf8');
  t.like(JSON.parse(audit.split('\n')[0]!), { asks: 'ChangeMembers', by: { role: 'operator', name: 'op', via: 'token' } });

  const subscription = spawn(process.execPath, [COMMAND, 'subscribe', ...at(operator)], { stdio: ['ignore', 'ignore', 'pipe'] });
  t.teardown(() => void subscription.kill('SIGKILL'));
  const ended = new Promise<string>((resolve) => {
    let told = '';
    subscription.stderr.on('data', (chunk) => {
      told += chunk;
    });
    subscription.once('close', (status) => resolve(`${status} ${told}`));
  });
  const connections = async (): Promise<number> => JSON.parse((await vexcoord(['status', ...at(other), '--output', 'json'])).stdout).counters['api.connections'];
  await until('the subscription', async () => (await connections()) === 2, 30_000);
  t.regex((await vexcoord(['status', ...at(operator)])).stderr, /^CONNECTIONS_MAX: token "op" has as many connections to the API as one caller may have: 1 /);
  t.is((await vexcoord(['token', 'revoke', '--dir', dir, '--name', 'op'])).status, 0);
  child.kill('SIGHUP');
  await until('the answer to SIGHUP', () => log.some((line) => line.includes('a new file of tokens is taken up: 2 tokens, 1 of them revoked')));
  t.regex(await ended, /^1 UNAUTHENTICATED: the token of operator "op" of cluster "test" was revoked/);
  const refused = await vexcoord(['member', 'remove', 'b', ...at(operator)]);
  t.regex(refused.stderr, /^UNAUTHENTICATED: /);

  writeFileSync(directory.tokens, 'nothing');
  child.kill('SIGHUP');
  await until('the refusal', () => log.some((line) => /the file of tokens is refused, and the one before it goes on: .* line 1 is no JSON/.test(line)));
  // The file before goes on.
  const { health } = JSON.parse((await vexcoord(['status', ...at(other), '--output', 'json'])).stdout);
  t.regex(health.reasons.join(), /the file of tokens is refused, and the one before it goes on/);
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  t.is(await gone, 0, log.join('\n'));
  t.true(existsSync(plan.dataDir('a')));
});

test('a node is not started with a file of tokens that is not good', async (t) => {
  const file = join(room(t), 'tokens');
  writeFileSync(file, 'nothing');
  const plan = await Plan.of(t, {}, ['a']);
  const started = await vexcoord(['serve', '--node-id', 'a', '--data-dir', plan.dataDir('a'), '--listen', plan.address('a'), '--api', '127.0.0.1:0', '--api-tokens', file]);
  t.is(started.status, 2);
  t.regex(started.stderr, /^CONFIG_INVALID: security\.api\.tokens: .* line 1 is no JSON$/m);
  const twice = await vexcoord(['serve', '--node-id', 'a', '--data-dir', plan.dataDir('a'), '--api-tokens', file, '--security-api', '{}']);
  t.regex(twice.stderr, /^USAGE: --security-api and --api-tokens say the same/);
});
