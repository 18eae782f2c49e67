import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { ApiServer } from '../dist/api/index.js';
import { readLines } from '../dist/cli/lines.js';
import { table } from '../dist/cli/output.js';
import { buildProgram } from '../dist/cli/program.js';
import { Coordinator } from '../dist/coordinator/index.js';
import { CoordinatorError } from '../dist/errors/index.js';
import { newEventId } from '../dist/events/index.js';
import { MemoryNode } from './api-memory-node.js';
import { COMMAND, vexcoord } from './cli-run.js';
import { room } from './helpers/cluster.js';

async function serve(t: ExecutionContext) {
  const node = new MemoryNode();
  const server = await ApiServer.start(node, { address: '127.0.0.1:0' });
  t.teardown(() => server.close());
  return { node, server, api: ['--api', server.address] };
}

test('every command explains itself with an example', (t) => {
  const walk = (command: ReturnType<typeof buildProgram>): void => {
    let help = '';
    command.configureOutput({ writeOut: (text) => (help += text) });
    command.outputHelp();
    t.regex(help, /\nExample:\n {2}/, command.name());
    t.not(command.description(), '', command.name());
    for (const child of command.commands) walk(child);
  };
  walk(buildProgram());
});

test('the version and the help are no failures; bad usage is 2 with a sentence', async (t) => {
  t.regex((await vexcoord(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/);
  t.is((await vexcoord(['publish', '--help'])).status, 0);
  for (const args of [
    ['bogus'],
    ['status', '--bogus'],
    ['status', '--api', 'nonsense'],
    ['publish', '--timeout-ms', '-1'],
    ['publish', '--consistency', 'absolute'],
    ['log', 'verify'],
    ['log', 'verify', '--data-dir', '/nowhere/a', '--data-dir', '/nowhere/at/../a'],
    ['outcome'],
    ['subscribe', '--consumer', ''],
    [],
    ['publish', '--file', '/nowhere/at/all'],
  ]) {
    const { status, stderr, stdout } = await vexcoord(args);
    t.is(status, 2, args.join(' '));
    t.regex(stderr, /(^|\n)USAGE: [^\n]+\n$/, args.join(' '));
    t.is(stdout, '');
  }
});

test('an option that takes one value is refused where it is given again, and a list is not', async (t) => {
  const nowhere = ['/nowhere/a', '/nowhere/b'];
  const twice = (option: string, values: readonly string[]): string[] => values.flatMap((value) => [option, value]);
  const refused: [string, string[]][] = [
    ['--data-dir', ['log', 'dump', ...twice('--data-dir', nowhere)]],
    ['--output', ['status', ...twice('--output', ['json', 'json'])]],
    ['--api', ['member', 'add', 'd=127.0.0.1:1', ...twice('--api', ['127.0.0.1:1', '127.0.0.1:2'])]],
    ['--node-id', ['serve', '--node-id=a', '--node-id', 'b']],
    ['--join', ['serve', '--join', '--join', 'false']],
    ['--role', ['cert', 'create', '--dir', '/nowhere', '--name', 'a', ...twice('--role', ['node', 'operator'])]],
  ];
  for (const [option, args] of refused) t.like(await vexcoord(args), { status: 2, stdout: '', stderr: `USAGE: ${option} was given twice, and takes one value\n` }, args.join(' '));
  const lists = [
    ['log', 'verify', ...twice('--data-dir', nowhere)],
    ['recover', '--data-dir', '/nowhere/a', '--node-id', 'a', ...twice('--gone', ['b', 'c']), '--yes', '--yes', '--i-understand-data-loss'],
  ];
  for (const args of lists) t.regex((await vexcoord(args)).stderr, /^DATA_DIR_UNREADABLE: /, args.join(' '));
  const shown = await vexcoord(['config', 'show', '--node-id', 'a', '--data-dir', '/nowhere/a', ...twice('--peer', ['b=127.0.0.1:7410', 'c=127.0.0.1:7420'])]);
  t.is(shown.status, 0, shown.stderr);
  t.true(['7410', '7420'].every((port) => shown.stdout.includes(port)), shown.stdout);
});

test('mistakes of a configuration are 2, one sentence each', async (t) => {
  const directory = room(t);
  const file = join(directory, 'node.yaml');
  writeFileSync(file, 'nodeId: a\nraft:\n  heartbeatIntervalMs: fast\napi: 10.1.2.3:7401\n');
  const wrong = await vexcoord(['config', 'check', file]);
  t.is(wrong.status, 2);
  t.regex(wrong.stderr, /CONFIG_INVALID: .*raft\.heartbeatIntervalMs/);
  t.regex(wrong.stderr, /CONFIG_INVALID: .*dataDir/);
  t.is((await vexcoord(['serve', '--config', join(directory, 'missing.yaml')])).status, 2);
  const outside = await vexcoord(['config', 'check', file, '--data-dir', directory, '--raft-heartbeat-interval-ms', '60']);
  t.is(outside.status, 2);
  t.regex(outside.stderr, /^ADDRESS_REFUSED: /);
  for (const match of ['{ type: FilesystemWrit }', "{ path: '/a/[b' }"]) {
    writeFileSync(join(directory, 'rules.yaml'), `nodeId: a\ndataDir: ${directory}\nlevels: [{ name: odd, match: ${match}, level: causal }]\n`);
    const odd = await vexcoord(['config', 'check', join(directory, 'rules.yaml')]);
    t.is(odd.status, 2);
    t.regex(odd.stderr, /^CONFIG_INVALID: .*"odd"/);
  }
  const right = await vexcoord(['config', 'check', file, '--data-dir', directory, '--raft-heartbeat-interval-ms', '60', '--insecure', '--output', 'json']);
  t.like(JSON.parse(right.stdout), { ok: true, nodeId: 'a' });
  const shown = await vexcoord(['config', 'show', '--origin', file, '--data-dir', directory, '--raft-heartbeat-interval-ms', '60', '--api', 'false', '--output', 'json']);
  const { nodeId, api, clusterId } = JSON.parse(shown.stdout);
  t.deepEqual(
    [nodeId.value, nodeId.origin, api.value, api.origin, clusterId.origin],
    ['a', `file ${file}`, false, 'flag --api', 'default'],
  );
});

test('a node whose log turns out to be damaged ends, with the reason and 1', async (t) => {
  const dataDir = room(t);
  const node = await Coordinator.start({ nodeId: 'a', dataDir, listen: '127.0.0.1:0', peers: {}, log: { segmentBytes: 4 * 1024 * 1024 } });
  for (let event = 0; event < 50; event++) await node.publish({ type: 'FilesystemWrite', path: `/${event}` });
  await node.close();
  const segment = join(dataDir, '00000000000000000001.seg');
  const bytes = readFileSync(segment);
  const at = bytes.indexOf('/20');
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0xff, at);
  writeFileSync(segment, bytes);
  const { status, stderr } = await vexcoord(['serve', '--node-id', 'a', '--data-dir', dataDir, '--listen', '127.0.0.1:0', '--api', '127.0.0.1:0']);
  t.is(status, 1);
  t.regex(stderr, /^LOG_DAMAGED: /m);
});

test('a taken API port is one sentence', async (t) => {
  const { server } = await serve(t);
  const { status, stderr } = await vexcoord(['serve', '--node-id', 'a', '--data-dir', room(t), '--listen', '127.0.0.1:0', '--api', server.address]);
  t.is(status, 1);
  t.regex(stderr, /^PORT_IN_USE: [^\n]+\n$/);
});

test('publish answers every line in order, and goes on after bad ones', async (t) => {
  const { node, api } = await serve(t);
  node.refusals.set('/refused', new CoordinatorError('PATH_INVALID', 'not this one'));
  const id = newEventId();
  const input = [
    `{"type": "FilesystemCreate", "path": "/1", "id": "${id}"}`,
    '{broken',
    '',
    '{"type": "FilesystemCreate", "path": "/refused"}',
    '{"typ": "FilesystemCreate"}',
    '{"type": "FilesystemCreate", "path": "/2", "payload": "AAEC", "sourceId": "18446744073709551615"}',
  ].join('\n');
  const { status, lines, stderr } = await vexcoord(['publish', ...api], input);
  t.is(status, 1);
  t.regex(stderr, /^LINE_INVALID: 3 of 5 lines got no receipt; the first, line 2: [^\n]+\n$/);
  const answers = lines.map((line) => JSON.parse(line));
  t.like(answers[0], { eventId: id, index: '9007199254740992', term: '18446744073709551615' });
  t.like(answers[1], { line: 2, error: { code: 'LINE_INVALID' } });
  t.like(answers[2], { line: 4, error: { code: 'PATH_INVALID', message: 'not this one', committed: 'no' } });
  t.like(answers[3], { line: 5, error: { code: 'INVALID_EVENT' } });
  t.is(answers[4].index, '9007199254740993');
  t.deepEqual([...(node.journal[1]?.payload ?? [])], [0, 1, 2]);
  t.is(node.journal[1]?.sourceId, 2n ** 64n - 1n);
});

test('publish reads a file, writes a table, and tells when nobody answers', async (t) => {
  const { server, api } = await serve(t);
  const file = join(room(t), 'events.jsonl');
  writeFileSync(file, '{"type": "A"}\n{"type": "A"}');
  const { status, lines } = await vexcoord(['publish', ...api, '--file', file, '--output', 'table']);
  t.is(status, 0);
  t.is(lines.length, 2);
  t.regex(lines[0] ?? '', /^line 1 {2}[0-9a-f-]{36} {2}sequential {2}index 9007199254740992\.0/);
  await server.close();
  const down = await vexcoord(['publish', ...api, '--timeout-ms', '300'], '{"type": "A"}');
  t.is(down.status, 1);
  t.like(JSON.parse(down.stdout), { line: 1, error: { code: 'UNAVAILABLE', committed: 'unknown' } });
  t.regex(down.stderr, /^UNAVAILABLE: /);
  t.is((await vexcoord(['status', ...api])).status, 1);
});

test('subscribe writes one delivery a line and ends at its count or a signal', async (t) => {
  const { node, api } = await serve(t);
  for (let at = 0; at < 20; at++) await node.publish({ type: 'A', path: `/${at}`, payload: Buffer.from('hi') });
  const counted = await vexcoord(['subscribe', ...api, '--from', 'first', '--count', '5', '--consumer', 'c']);
  t.is(counted.status, 0);
  t.deepEqual(counted.lines.map((line) => JSON.parse(line).event.path), ['/0', '/1', '/2', '/3', '/4']);
  t.like(JSON.parse(counted.lines[0] ?? ''), { index: '9007199254740992', fencingToken: '9', event: { payload: 'aGk=', hlc: '18446744073709551614' } });
  t.is(node.acknowledged.at(-1), node.journal[4]?.id);
  const stopped = await vexcoord(['subscribe', ...api, '--from', 'first'], '', (stdout) => stdout.split('\n').length > 20);
  t.is(stopped.status, 0);
  t.is(stopped.lines.length, 20);
  const refused = await vexcoord(['subscribe', ...api, '--from', 'damaged']);
  t.is(refused.status, 1);
  t.regex(refused.stderr, /^CURSOR_INVALID: /);
  t.is((await vexcoord(['subscribe', ...api, '--where', 'nonsense'])).status, 1);
});

test('subscribe goes on at another node', async (t) => {
  const one = await serve(t);
  const other = await serve(t);
  for (const { node } of [one, other]) for (let at = 0; at < 6; at++) await node.publish({ type: 'A', path: `/${at}`, id: newEventId() });
  one.node.journal.length = 3;
  const addresses = `${one.server.address},${other.server.address}`;
  setTimeout(() => void one.server.close(), 1500);
  const { lines, status } = await vexcoord(['subscribe', '--api', addresses, '--from', 'first', '--count', '6']);
  t.is(status, 0);
  t.deepEqual(lines.map((line) => JSON.parse(line).event.path), ['/0', '/1', '/2', '/3', '/4', '/5']);
});

test('a reader that goes away is no failure', async (t) => {
  const { node, api } = await serve(t);
  for (let at = 0; at < 5000; at++) await node.publish({ type: 'A', path: `/${at}` });
  const shell = `'${process.execPath}' '${COMMAND}' subscribe ${api.join(' ')} --from first | head -n 2`;
  const { stdout, stderr } = await promisify(execFile)('bash', ['-c', `set -o pipefail; ${shell}`]);
  t.is(stdout.trim().split('\n').length, 2);
  t.is(stderr, '');
});

test('status and outcome, as table and as json', async (t) => {
  const { node, api } = await serve(t);
  const { eventId } = await node.publish({ type: 'A' });
  t.like(JSON.parse((await vexcoord(['status', ...api, '--output', 'json'])).stdout), { nodeId: 'memory', commitIndex: '1', disk: { logBytes: '9223372036854775809' } });
  t.regex((await vexcoord(['status', ...api])).stdout, /role +leader in term 7, leader memory\n/);
  t.like(JSON.parse((await vexcoord(['outcome', eventId, ...api, '--output', 'json'])).stdout), { state: 'committed', receipt: { eventId } });
  t.regex((await vexcoord(['outcome', newEventId(), ...api])).stdout, /is absent\.\n$/);
});

test('replay goes round the nodes, writes receipts and sums up', async (t) => {
  const nodes = [await serve(t), await serve(t), await serve(t)];
  const addresses = nodes.map(({ server }) => server.address).join(',');
  const receipts = join(room(t), 'receipts.jsonl');
  const trace = 'examples/traces/git-session.jsonl.gz';
  const { status, stdout, stderr } = await vexcoord(['replay', trace, '--api', addresses, '--limit', '300', '--reads', '--receipts', receipts, '--output', 'json']);
  t.is(status, 0, stderr);
  t.like(JSON.parse(stdout), { operations: 300, events: 300, skippedReads: 0, failed: 0, retries: 0, invalidLines: 0 });
  t.deepEqual(nodes.map(({ node }) => node.journal.length), [100, 100, 100]);
  t.is(readFileSync(receipts, 'utf8').trim().split('\n').length, 300);
  t.regex(stderr, /Replaying 300 of 300 \(100 %\)\n/);
  const one = await vexcoord(['replay', trace, '--api', nodes[0]?.server.address ?? '', '--limit', '300', '--output', 'json']);
  const summary = JSON.parse(one.stdout);
  t.true(summary.skippedReads > 0);
  t.is(summary.events + summary.skippedReads, 300);
});

test('completion scripts are read by their shell', async (t) => {
  const { stdout } = await vexcoord(['completion', 'bash']);
  const script = `${stdout}\nCOMP_WORDS=(vexcoord log v); COMP_CWORD=2; _vexcoord; echo "\${COMPREPLY[@]}"`;
  t.is((await promisify(execFile)('bash', ['-c', script])).stdout.trim(), 'verify');
  t.regex((await vexcoord(['completion', 'fish'])).stdout, /complete -c vexcoord .*-a publish/);
  t.regex((await vexcoord(['completion', 'zsh'])).stdout, /bashcompinit/);
  t.is((await vexcoord(['completion', 'csh'])).status, 2);
});

test('lines are split over chunks, bounded and numbered', async (t) => {
  async function* chunks() {
    yield Buffer.from('one\ntw');
    yield Buffer.from('o\r\n\n');
    yield Buffer.concat([Buffer.from([0xff, 0x0a]), Buffer.alloc(5 * 1024 * 1024, 0x61)]);
    yield Buffer.from('\nlast');
  }
  const lines = [];
  for await (const { number, text, problem } of readLines(chunks())) lines.push([number, text, problem === null ? '' : problem.slice(0, 12)]);
  t.deepEqual(lines, [
    [1, 'one', ''],
    [2, 'two', ''],
    [3, '', ''],
    [4, null, 'it is not UT'],
    [5, null, 'it is longer'],
    [6, 'last', ''],
  ]);
});

test('a table puts numbers to the right', (t) => {
  t.is(table([['a', '1'], ['bb', '22']], ['name', 'count']), 'name  count\na         1\nbb       22');
});
