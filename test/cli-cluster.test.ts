import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { Cluster } from '../dist/cli/demo/cluster.js';
import { newEventId } from '../dist/events/index.js';
import { COMMAND, vexcoord } from './cli-run.js';
import { room } from './helpers/cluster.js';

const START = fileURLToPath(new URL('../dist/cli/start.js', import.meta.url));

async function cluster(t: ExecutionContext) {
  const directory = room(t);
  const started = await Cluster.plan(directory, false);
  t.teardown(() => started.killNow());
  await started.start();
  const apis = started.members.map((member) => member.settings.api);
  const verify = async (receipts: string) => {
    const directories = started.members.flatMap((member) => ['--data-dir', member.settings.dataDir]);
    return vexcoord(['log', 'verify', ...directories, '--receipts', receipts, '--output', 'json']);
  };
  return { cluster: started, directory, apis, all: apis.join(','), verify };
}

const events = (count: number, prefix = '/e') =>
  Array.from({ length: count }, (_, at) => JSON.stringify({ id: newEventId(), type: 'FilesystemWrite', path: `${prefix}/${at}`, payload: 'AAEC' })).join('\n');

test.serial('publish on any node, subscribe on another, verify the files', async (t) => {
  const { cluster: nodes, directory, apis, verify } = await cluster(t);
  const receipts: string[] = [];
  for (const [at, api] of apis.entries()) {
    const published = await vexcoord(['publish', '--api', api, '--consistency', ['sequential', 'strong', 'linearizable'][at] ?? ''], events(200, `/${at}`));
    t.is(published.status, 0, published.stderr);
    receipts.push(...published.lines);
  }
  t.is(receipts.length, 600);
  const places = receipts.map((line) => JSON.parse(line)).map(({ index, offset }) => BigInt(index) * 100_000n + BigInt(offset));
  t.true(places.every((place, at) => at === 0 || place > (places[at - 1] as bigint)));

  for (const api of apis) {
    const { lines, status } = await vexcoord(['subscribe', '--api', api, '--from', 'first', '--count', '600']);
    t.is(status, 0);
    t.deepEqual(
      lines.map((line) => JSON.parse(line)).map(({ index, event }) => [index, event.id]),
      receipts.map((line) => JSON.parse(line)).map(({ index, eventId }) => [index, eventId]),
    );
  }
  const { lines: filtered } = await vexcoord(['subscribe', '--api', apis[1] ?? '', '--from', 'first', '--where', 'path=/2/1?', '--count', '10']);
  t.deepEqual(filtered.map((line) => JSON.parse(line).event.path), Array.from({ length: 10 }, (_, at) => `/2/1${at}`));

  const first = JSON.parse(receipts[0] ?? '');
  const outcome = JSON.parse((await vexcoord(['outcome', first.eventId, '--api', apis[2] ?? '', '--output', 'json'])).stdout);
  t.like(outcome, { state: 'committed', receipt: { index: first.index, offset: first.offset } });
  const absent = newEventId();
  t.is(JSON.parse((await vexcoord(['outcome', absent, '--api', apis[0] ?? '', '--output', 'json'])).stdout).state, 'absent');
  const fenced = await vexcoord(['publish', '--api', apis[0] ?? ''], JSON.stringify({ id: absent, type: 'FilesystemCreate' }));
  t.is(JSON.parse(fenced.stdout).error.code, 'EVENT_FENCED');

  const lowered = newEventId();
  await vexcoord(['publish', '--api', apis[0] ?? '', '--consistency', 'causal'], JSON.stringify({ id: lowered, type: 'FilesystemCreate' }));
  t.regex((await vexcoord(['outcome', lowered, '--api', apis[0] ?? ''])).stdout, /is committed in the causal lane, at entry 1 of its writer's log, offset 0\.\n$/);

  await nodes.stop();
  const file = join(directory, 'receipts.jsonl');
  writeFileSync(file, `${receipts.join('\n')}\n`);
  const verdict = await verify(file);
  t.is(verdict.status, 0, verdict.stderr);
  const shown = [...verdict.stderr.matchAll(/^bytes (\d+) of (\d+) /gm)].map(([, done, total]) => Number(done) / Number(total));
  t.deepEqual([shown.length, shown.at(-1)], [3, 1], verdict.stderr);
  t.like(JSON.parse(verdict.stdout), { ok: true, events: 600, receipts: { checked: 600, missing: 0 } });
  writeFileSync(file, `${receipts.join('\n')}\n${JSON.stringify({ ...first, eventId: newEventId() })}\n`);
  const failed = await verify(file);
  t.is(failed.status, 1);
  t.regex(failed.stderr, /^VERIFY_FAILED: /m);
  const dump = await vexcoord(['log', 'dump', '--data-dir', nodes.members[0]?.settings.dataDir ?? '', '--output', 'json']);
  const ids = dump.lines.flatMap((line) => JSON.parse(line).events.map(({ id }: { id: string }) => id));
  t.is(new Set(ids).size, 600);
});

test.serial('the same id again gives the same receipt; other bytes are refused', async (t) => {
  const { apis } = await cluster(t);
  const id = newEventId();
  const line = (path: string) => JSON.stringify({ id, type: 'FilesystemCreate', path });
  const [one, again, other] = [
    await vexcoord(['publish', '--api', apis[0] ?? ''], line('/a')),
    await vexcoord(['publish', '--api', apis[1] ?? ''], line('/a')),
    await vexcoord(['publish', '--api', apis[2] ?? ''], line('/b')),
  ];
  const receipt = JSON.parse(one.stdout);
  t.like(JSON.parse(again.stdout), { eventId: id, index: receipt.index, offset: receipt.offset, duplicate: true });
  t.like(JSON.parse(other.stdout), { line: 1, error: { code: 'EVENT_ID_REUSED', committed: 'no' } });
});

test.serial('bad input is refused with a code and the rest goes on', async (t) => {
  const { cluster: nodes, apis } = await cluster(t);
  const input = [
    '{"type": "FilesystemCreate", "path": "/ok"}',
    'no json',
    '{"type": "FilesystemCreat", "path": "/a"}',
    '{"type": "FilesystemCreate", "path": "relative"}',
    '{"type": "FilesystemCreate", "path": "/a\\u0000b"}',
    JSON.stringify({ type: 'FilesystemCreate', path: `/${'x'.repeat(4096)}` }),
    JSON.stringify({ type: 'FilesystemCreate', payload: Buffer.alloc(1024 * 1024 + 1).toString('base64') }),
    '{"type": "FilesystemCreate", "id": "no uuid"}',
    '{"type": "FilesystemCreate", "path": "/ok2"}',
  ].join('\n');
  const { status, lines } = await vexcoord(['publish', '--api', apis[0] ?? ''], input);
  t.is(status, 1);
  t.deepEqual(
    lines.map((line) => JSON.parse(line)).map(({ error }) => error?.code ?? 'receipt'),
    ['receipt', 'LINE_INVALID', 'UNKNOWN_EVENT_TYPE', 'PATH_INVALID', 'PATH_INVALID', 'PATH_INVALID', 'PAYLOAD_TOO_LARGE', 'INVALID_EVENT_ID', 'receipt'],
  );
  for (const address of nodes.members.flatMap(({ settings }) => [settings.listen, settings.api])) {
    for (const bytes of [Buffer.alloc(70_000, 0x99), Buffer.from('VXP1\xff\xff\xff\xff', 'latin1'), Buffer.from('PRI * HT')]) {
      const socket = connect(Number(address.split(':')[1]), '127.0.0.1');
      socket.on('error', () => {});
      socket.end(bytes);
    }
  }
  t.is((await vexcoord(['publish', '--api', apis[1] ?? ''], events(50))).status, 0);
  t.true(nodes.members.every((member) => member.running));
});

test.serial('a leader that is killed or paused while events are published costs none of them', async (t) => {
  const { cluster: nodes, directory, all, verify } = await cluster(t);
  const publish = vexcoord(['publish', '--api', all, '--timeout-ms', '20000'], events(20_000));
  await new Promise((resolve) => setTimeout(resolve, 700));
  const leader = await nodes.leader();
  await leader.kill();
  const published = await publish;
  t.is(published.status, 0, published.stderr);
  t.is(published.lines.length, 20_000);
  await leader.start();
  const paused = await nodes.leader();
  process.kill(paused.pid ?? 0, 'SIGSTOP');
  const during = await vexcoord(['publish', '--api', all, '--timeout-ms', '20000'], events(100, '/paused'));
  process.kill(paused.pid ?? 0, 'SIGCONT');
  t.is(during.status, 0, during.stderr);
  await nodes.equal();
  await nodes.stop();
  const file = join(directory, 'receipts.jsonl');
  writeFileSync(file, `${[...published.lines, ...during.lines].join('\n')}\n`);
  const verdict = await verify(file);
  t.is(verdict.status, 0, verdict.stderr);
  t.is(JSON.parse(verdict.stdout).events, 20_100);
});

test.serial('all killed at once: what was acknowledged is there after the restart', async (t) => {
  const { cluster: nodes, directory, all, verify } = await cluster(t);
  const published = await vexcoord(['publish', '--api', all], events(2000));
  await Promise.all(nodes.members.map((member) => member.kill()));
  const receipts = join(directory, 'receipts.jsonl');
  writeFileSync(receipts, published.stdout);
  t.is((await verify(receipts)).status, 0);
  await nodes.start();
  const { lines } = await vexcoord(['subscribe', '--api', all, '--from', 'first', '--count', '2000']);
  t.deepEqual(lines.map((line) => JSON.parse(line).event.id), published.lines.map((line) => JSON.parse(line).eventId));
  await nodes.stop();
});

test.serial('a named consumer goes on where it was, on another node too', async (t) => {
  const { apis } = await cluster(t);
  await vexcoord(['publish', '--api', apis[0] ?? ''], events(30));
  const take = async (api: string | undefined) => {
    const { lines, status, stderr } = await vexcoord(['subscribe', '--api', api ?? '', '--from', 'first', '--consumer', 'indexer', '--count', '10']);
    t.is(status, 0, stderr);
    return lines.map((line) => JSON.parse(line));
  };
  const [one, two, three] = [await take(apis[0]), await take(apis[1]), await take(apis[2])];
  t.deepEqual([...one, ...two, ...three].map(({ event }) => event.path), Array.from({ length: 30 }, (_, at) => `/e/${at}`));
  t.true(BigInt(two[0].fencingToken) > BigInt(one[0].fencingToken));
});

/** Runs `serve` until it ends; `kill` is sent once the readiness line is out. */
function serve(args: readonly string[], kill: NodeJS.Signals | null): Promise<{ status: number | null; stdout: string; stderr: string; child: ChildProcess }> {
  const child = spawn(process.execPath, [COMMAND, 'serve', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stderr?.on('data', (chunk) => (stderr += chunk));
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
    if (kill !== null && stdout.endsWith('\n')) child.kill(kill);
  });
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, stdout, stderr, child })));
}

test.serial('serve says when it is ready, ends with 0 when told to, and with 1 and a code when it cannot start', async (t) => {
  const directory = room(t);
  const base = ['--node-id', 'a', '--data-dir', directory, '--listen', '127.0.0.1:0', '--api', '127.0.0.1:0', '--output', 'json'];
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const ended = await serve(base, signal);
    t.is(ended.status, 0, ended.stderr);
    t.like(JSON.parse(ended.stdout), { nodeId: 'a', clusterId: 'vexfs', dataDir: directory, pid: ended.child.pid });
  }
  const stranger = await serve([...base, '--cluster-id', 'other'], null);
  t.is(stranger.status, 1);
  t.regex(stranger.stderr, /DATA_DIR_MISMATCH: /);
  const { cluster: nodes } = await cluster(t);
  const [member] = nodes.members;
  const taken = await serve(['--node-id', 'a', '--data-dir', room(t), '--listen', '127.0.0.1:0', '--api', member?.settings.api ?? ''], null);
  t.is(taken.status, 1);
  t.regex(taken.stderr, /PORT_IN_USE: /);
  const busy = await serve(['--node-id', 'a', '--data-dir', member?.settings.dataDir ?? '', '--cluster-id', 'demo', '--listen', '127.0.0.1:0', '--api', '127.0.0.1:0'], null);
  t.is(busy.status, 1);
  t.regex(busy.stderr, /DATA_DIR_IN_USE: /);
});

test.serial('the demonstration passes its own verdict', async (t) => {
  const child = spawn(process.execPath, [START, '--limit', '1500', '--output', 'json'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const status = await new Promise((resolve) => child.on('close', resolve));
  t.is(status, 0, stderr);
  const result = JSON.parse(stdout);
  t.like(result, { ok: true, events: 1500, failed: 0, verdict: { ok: true, receipts: { checked: 1500, missing: 0 } } });
  t.true(result.failoverGapMs > 0 && result.catchUpMs > 0);
});
