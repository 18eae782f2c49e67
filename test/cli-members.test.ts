/** Membership, snapshots and the way back after a lost majority, as an operator does them: with `vexcoord` alone. */
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { freePorts } from '../dist/cli/demo/ports.js';
import { COMMAND, vexcoord } from './cli-run.js';

const ELECTION = ['--raft-election-timeout-ms', '400,800'];

interface Served {
  readonly id: string;
  readonly listen: string;
  readonly api: string;
  readonly dataDir: string;
  readonly process: ChildProcess;
  readonly ended: Promise<{ status: number | null; stderr: string }>;
}

/** A directory, ports, and `serve` processes that end with the test. */
class Operator {
  readonly directory = mkdtempSync(join(tmpdir(), 'vexcoord-test-'));
  readonly served = new Map<string, Served>();

  constructor(readonly t: ExecutionContext) {
    t.teardown(async () => {
      for (const { process, ended } of this.served.values()) {
        process.kill('SIGKILL');
        await ended;
      }
      rmSync(this.directory, { recursive: true, force: true });
    });
  }

  async ports(ids: readonly string[]): Promise<Map<string, { listen: string; api: string }>> {
    const ports = await freePorts(ids.length * 2);
    return new Map(ids.map((id, at) => [id, { listen: `127.0.0.1:${ports[2 * at]}`, api: `127.0.0.1:${ports[2 * at + 1]}` }]));
  }

  async serve(id: string, { listen, api }: { listen: string; api: string }, more: readonly string[] = []): Promise<Served> {
    const dataDir = join(this.directory, id);
    const cluster = more.includes('--cluster-id') ? [] : ['--cluster-id', 'ops'];
    const args = ['serve', '--node-id', id, ...cluster, '--data-dir', dataDir, '--listen', listen, '--api', api, '--output', 'json', ...ELECTION, ...more];
    const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    const ended = new Promise<{ status: number | null; stderr: string }>((resolve) => child.once('close', (status) => resolve({ status, stderr })));
    const served: Served = { id, listen, api, dataDir, process: child, ended };
    this.served.set(id, served);
    await Promise.race([
      new Promise<void>((resolve) => child.stdout.once('data', () => resolve())),
      ended.then(({ status }) => {
        throw new Error(`${id} ended with ${status}: ${stderr}`);
      }),
    ]);
    return served;
  }

  async stop(id: string, signal: NodeJS.Signals = 'SIGTERM'): Promise<{ status: number | null; stderr: string }> {
    const served = this.served.get(id) as Served;
    served.process.kill(signal);
    this.served.delete(id);
    return served.ended;
  }

  /** Runs a command that must succeed, and reads its JSON. */
  async json(args: readonly string[], input = ''): Promise<Record<string, unknown>> {
    const ran = await vexcoord([...args, '--output', 'json'], input);
    this.t.is(ran.status, 0, `${args.join(' ')}: ${ran.stderr}`);
    return JSON.parse(ran.lines.at(-1) ?? '{}') as Record<string, unknown>;
  }

  /** Asks again while the cluster is not ready for it yet. */
  async persist(args: readonly string[]): Promise<void> {
    for (;;) {
      const { status, stderr } = await vexcoord(args);
      if (status === 0) return;
      if (!/^(LEARNER_LAGGING|CHANGE_PENDING|TIMEOUT|UNAVAILABLE): /.test(stderr)) throw new Error(stderr);
    }
  }

  async refused(code: string, args: readonly string[]): Promise<string> {
    const ran = await vexcoord(args);
    this.t.is(ran.status, 1, `${args.join(' ')}: ${ran.stderr}`);
    this.t.regex(ran.stderr, new RegExp(`^${code}: `, 'm'), args.join(' '));
    return ran.stderr;
  }
}

const events = (count: number, prefix: string) => Array.from({ length: count }, (_, at) => JSON.stringify({ type: 'FilesystemWrite', path: `${prefix}/${at}` })).join('\n');

test.serial('a member is added, promoted, put in another one’s place, removed, and told so', async (t) => {
  const operator = new Operator(t);
  const places = await operator.ports(['a', 'b', 'c']);
  const at = (id: string) => places.get(id) as { listen: string; api: string };
  await operator.serve('a', at('a'));
  const api = ['--api', at('a').api];
  for (const id of ['b', 'c']) {
    await operator.json(['member', 'add', `${id}=${at(id).listen}`, ...api]);
    await operator.serve(id, at(id), ['--join', '--peer', `a=${at('a').listen}`]);
  }
  await operator.persist(['member', 'promote', 'b', ...api]);
  await operator.persist(['leader', 'transfer', 'b', ...api]);
  await operator.persist(['member', 'replace', 'a', 'c', '--api', at('b').api]);
  // `a` says why it ends, and ends with 1.
  const told = await (operator.served.get('a') as Served).ended;
  t.is(told.status, 1);
  t.regex(told.stderr, /^MEMBER_REMOVED: /m);
  const { members } = (await operator.json(['member', 'list', '--api', at('b').api])) as { members: { id: string; role: string }[] };
  t.deepEqual(members.map(({ id, role }) => [id, role]), [['a', 'removed'], ['b', 'voter'], ['c', 'voter']]);
  await operator.refused('MEMBER_ID_USED', ['member', 'add', `a=${at('a').listen}`, '--api', at('b').api]);
  await operator.refused('MEMBER_UNKNOWN', ['member', 'promote', 'x', '--api', at('b').api]);
  t.is((await vexcoord(['member', 'add', 'noaddress', '--api', at('b').api])).status, 2);
  const published = await vexcoord(['publish', '--api', `${at('b').api},${at('c').api}`], events(20, '/e'));
  t.is(published.status, 0, published.stderr);
  const record = join(operator.directory, 'b', 'audit.jsonl');
  t.is(statSync(record).mode & 0o777, 0o600);
  const promoted = readFileSync(record, 'utf8').split('\n').filter((line) => line.includes('"promote":"x"')).map((line) => JSON.parse(line));
  t.like(promoted, [{ asks: 'ChangeMembers', node: 'b', by: null }]);
  t.true(readFileSync(record, 'utf8').split('\n').some((line) => line !== '' && JSON.parse(line).call === promoted[0].call && JSON.parse(line).code === 'MEMBER_UNKNOWN'));
});

test.serial('rules of replication are set from a file and shown', async (t) => {
  const operator = new Operator(t);
  const at = (await operator.ports(['a'])).get('a') as { listen: string; api: string };
  await operator.serve('a', at);
  const [api, file] = [['--api', at.api], join(operator.directory, 'rules.yaml')];
  t.is((await vexcoord(['replication', 'show', ...api])).stdout.trim(), 'Every member holds everything.');
  writeFileSync(file, 'regions: {eu: [d, e]}\nrules:\n  - name: docs\n    match: {path: /docs/**, priority: 1}\n    holders: {nodes: [f], regions: [eu]}\n  - {name: rest, holders: {}}\n');
  const set = await operator.json(['replication', 'set', file, ...api]);
  const rules = [{ name: 'docs', match: { path: ['/docs/**'], priority: [1] }, holders: { nodes: ['f'], regions: ['eu'] } }, { name: 'rest', holders: {} }];
  t.deepEqual(set, { version: set.version, regions: { eu: ['d', 'e'] }, rules });
  t.deepEqual(await operator.json(['replication', 'show', ...api]), set);
  t.regex((await vexcoord(['replication', 'show', ...api])).stdout, /docs +any +\/docs\/\*\* +1 +f, region eu\nrest +any +any +any +voters alone/);
  writeFileSync(file, 'rules: [{name: x, holders: {regions: [us]}}]');
  await operator.refused('REPLICATION_INVALID', ['replication', 'set', file, ...api]);
  await operator.refused('REPLICATION_INVALID', ['replication', 'set', join(operator.directory, 'none'), ...api]);
  t.deepEqual(await operator.json(['replication', 'show', ...api]), set);
});

test.serial('a snapshot is saved, looked into and restored; a bad one changes nothing', async (t) => {
  const operator = new Operator(t);
  const places = await operator.ports(['a', 'r']);
  const at = (id: string) => places.get(id) as { listen: string; api: string };
  await operator.serve('a', at('a'));
  t.is((await vexcoord(['publish', '--api', at('a').api], events(50, '/kept'))).status, 0);
  const file = join(operator.directory, 'state.snap');
  const saved = await operator.json(['snapshot', 'save', file, '--api', at('a').api]);
  t.deepEqual(readdirSync(operator.directory).sort(), ['a', 'state.snap']);
  const inspected = await operator.json(['snapshot', 'inspect', file]);
  t.like(inspected, { clusterId: 'ops', group: 0, index: saved['index'], events: '50' });
  t.is(Number(inspected['bytes']), readFileSync(file).length);
  const status = await operator.json(['status', '--api', at('a').api]);
  if (status['appliedIndex'] === saved['index']) t.is(inspected['applyHash'], status['applyHash']);
  await operator.refused('GROUP_UNKNOWN', ['snapshot', 'save', join(operator.directory, 'x.snap'), '--group', '7', '--api', at('a').api]);
  t.false(existsSync(join(operator.directory, 'x.snap')));

  const target = join(operator.directory, 'r');
  const restore = (...args: string[]) => ['snapshot', 'restore', ...args, '--data-dir', target, '--node-id', 'r'];
  const [cut, damaged, none] = ['cut', 'damaged', 'none'].map((name) => join(operator.directory, name)) as [string, string, string];
  copyFileSync(file, cut);
  truncateSync(cut, readFileSync(file).length - 10);
  const bytes = readFileSync(file);
  bytes[Math.floor(bytes.length / 2)] = (bytes[Math.floor(bytes.length / 2)] as number) ^ 1;
  writeFileSync(damaged, bytes);
  for (const bad of [cut, damaged, none]) {
    await operator.refused('SNAPSHOT_INVALID', ['snapshot', 'inspect', bad]);
    await operator.refused('SNAPSHOT_INVALID', [...restore(bad), '--cluster-id', 'ops']);
  }
  const longer = join(operator.directory, 'longer');
  writeFileSync(longer, Buffer.concat([readFileSync(file), Buffer.from('x')]));
  await operator.refused('SNAPSHOT_INVALID', ['snapshot', 'inspect', longer]);
  await operator.refused('SNAPSHOT_WRONG_CLUSTER', [...restore(file), '--cluster-id', 'other']);
  // Ids are never used again, and have to be ones that a node can have.
  await operator.refused('MEMBER_ID_USED', ['snapshot', 'restore', file, '--data-dir', target, '--node-id', 'a', '--cluster-id', 'ops']);
  await operator.refused('MEMBER_ID_USED', [...restore(file), '--cluster-id', 'ops', '--member', 'a']);
  const usage = [
    ...['b/../x', '', 'x'.repeat(300)].map((id) => ['snapshot', 'restore', file, '--data-dir', target, '--node-id', id, '--cluster-id', 'ops']),
    [...restore(file), '--cluster-id', 'ops', ...[1, 2, 3, 4, 5, 6, 7].flatMap((number) => ['--member', `r${number}`])],
  ];
  for (const args of usage) t.like(await vexcoord(args), { status: 2, stdout: '' }, args.join(' '));
  t.false(existsSync(target));
  await operator.refused('DATA_DIR_NOT_EMPTY', ['snapshot', 'restore', file, '--data-dir', operator.directory, '--node-id', 'r', '--cluster-id', 'ops']);

  // A restore that was broken off is nothing to start from, and is done again.
  mkdirSync(target);
  for (const name of ['RESTORING', '00000000000000000001.seg']) writeFileSync(join(target, name), '');
  await operator.refused('DATA_DIR_UNREADABLE', ['log', 'verify', '--data-dir', target]);
  await operator.json([...restore(file), '--cluster-id', 'ops']);
  t.false(existsSync(join(target, 'RESTORING')));
  await operator.refused('DATA_DIR_NOT_EMPTY', [...restore(file), '--cluster-id', 'ops']);
  await operator.serve('r', at('r'));
  t.is((await vexcoord(['publish', '--api', at('r').api], events(5, '/new'))).status, 0);
  const restored = (await operator.json(['status', '--api', at('r').api])) as { groups: { events: string }[]; members: { id: string; role: string }[] };
  t.is(restored.groups[0]?.events, '55');
  t.deepEqual(restored.members.map(({ id, role }) => [id, role]), [['a', 'removed'], ['r', 'voter']]);
  const behind = await vexcoord(['subscribe', '--from', 'first', '--count', '5', '--api', at('r').api]);
  t.deepEqual(behind.lines.map((line) => (JSON.parse(line) as { event: { path: string } }).event.path), Array.from({ length: 5 }, (_, n) => `/new/${n}`));
});

test.serial('a restore says which groups it has, and a start with more what is missing', async (t) => {
  const operator = new Operator(t);
  const places = await operator.ports(['a', 'r']);
  const at = (id: string) => places.get(id) as { listen: string; api: string };
  await operator.serve('a', at('a'), ['--groups', '2']);
  const files = [0, 1].map((group) => join(operator.directory, `group-${group}.snap`)) as [string, string];
  for (const [group, file] of files.entries()) {
    t.is((await vexcoord(['publish', '--group', String(group), '--api', at('a').api], events(5, `/${group}`))).status, 0);
    await operator.json(['snapshot', 'save', file, '--group', String(group), '--api', at('a').api]);
  }
  const restore = (dataDir: string, ...snapshots: string[]) => vexcoord(['snapshot', 'restore', ...snapshots, '--data-dir', dataDir, '--node-id', 'r', '--cluster-id', 'ops']);
  const part = join(operator.directory, 'part');
  const incomplete = await restore(part, files[0]);
  t.is(incomplete.status, 0, incomplete.stderr);
  t.regex(incomplete.stderr, /^Group 0 alone was restored\. No snapshot says how many its cluster had: if there were more, their events are not in /m);
  t.false(incomplete.stdout.includes('--groups'));
  const serve = ['serve', '--node-id', 'r', '--cluster-id', 'ops', '--listen', at('r').listen, '--api', at('r').api];
  const started = await vexcoord([...serve, '--data-dir', part, '--groups', '2']);
  t.is(started.status, 2, started.stderr);
  t.regex(started.stderr, /^CONFIG_INVALID: .*set it to 1; but .*\/part was restored from a snapshot of group 0 alone: if the cluster had more, no event of the others is here/m);

  const whole = await restore(join(operator.directory, 'r'), files[1], files[0]);
  t.is(whole.status, 0, whole.stderr);
  t.regex(whole.stderr, /^The groups 0 to 1 were restored\./m);
  t.regex(whole.stdout, /"vexcoord serve --node-id r --cluster-id ops --data-dir \S+ --groups 2"/);
  await operator.serve('r', at('r'), ['--groups', '2']);
  const { groups } = (await operator.json(['status', '--api', at('r').api])) as { groups: { events: string }[] };
  t.deepEqual(groups.map((group) => group.events), ['5', '5']);
});

test.serial('recover refuses while a majority is there, and begins again from one of three', async (t) => {
  const operator = new Operator(t);
  const ids = ['a', 'b', 'c'];
  const places = await operator.ports([...ids, 'd']);
  const at = (id: string) => places.get(id) as { listen: string; api: string };
  const peers = (id: string) => ids.filter((other) => other !== id).flatMap((other) => ['--peer', `${other}=${at(other).listen}`]);
  await Promise.all(ids.map((id) => operator.serve(id, at(id), peers(id))));
  const published = await vexcoord(['publish', '--api', ids.map((id) => at(id).api).join(), '--consistency', 'strong', '--quorum-size', 'all'], events(100, '/e'));
  t.is(published.status, 0, published.stderr);

  const dataDir = join(operator.directory, 'a');
  const recover = ['recover', '--data-dir', dataDir, '--node-id', 'a', '--cluster-id', 'ops', ...peers('a'), '--timeout-ms', '1000'];
  const yes = ['--yes', '--i-understand-data-loss'];
  await operator.refused('DATA_DIR_IN_USE', [...recover, ...yes]);
  await operator.stop('a');
  t.regex(await operator.refused('QUORUM_EXISTS', [...recover, ...yes]), /a \(this node\), b at .*, c at /);
  const swapped = ['recover', '--data-dir', dataDir, '--node-id', 'a', '--cluster-id', 'ops', '--peer', `b=${at('c').listen}`, '--peer', `c=${at('b').listen}`];
  t.true((await operator.refused('QUORUM_EXISTS', [...swapped, ...yes])).includes(`b at ${at('b').listen}, the address given for c`));
  const nobodys = await vexcoord([...recover, '--gone', 'x', ...yes]);
  t.deepEqual([nobodys.status, /--gone x names no other voter; those are b, c/.test(nobodys.stderr)], [2, true], nobodys.stderr);
  await operator.stop('c', 'SIGKILL');
  (operator.served.get('b') as Served).process.kill('SIGSTOP');
  t.regex(await operator.refused('QUORUM_EXISTS', [...recover, ...yes]), /may be there, .* b at .* \(takes the connection but does not answer/);
  (operator.served.get('b') as Served).process.kill('SIGCONT');
  t.regex(await operator.refused('QUORUM_EXISTS', [...recover, ...yes]), /2 of 3 voters are there, a majority: a \(this node\), b at /);
  await operator.stop('b', 'SIGKILL');
  t.is((await vexcoord([...recover, '--yes'])).status, 2);
  t.like(await vexcoord([...recover, ...yes, '--timeout-ms', '999']), { status: 2, stdout: '' });
  t.is((await vexcoord(recover)).status, 2, 'nobody can be asked');
  t.is((await vexcoord(['recover', '--data-dir', dataDir, '--node-id', 'a', '--cluster-id', 'ops', ...yes])).status, 2, 'no addresses');
  await operator.refused('DATA_DIR_MISMATCH', ['recover', '--data-dir', dataDir, '--node-id', 'b', '--cluster-id', 'ops', ...yes]);
  await operator.refused('DATA_DIR_UNREADABLE', ['recover', '--data-dir', join(operator.directory, 'nowhere'), '--node-id', 'a', ...yes]);
  t.false(existsSync(join(dataDir, 'RECOVERED.jsonl')));

  t.is((await vexcoord([...recover, ...yes, '--member', 'd'])).status, 2, 'the others join afterwards');
  const done = await vexcoord([...recover, ...yes]);
  t.is(done.status, 0, done.stderr);
  for (const next of [`serve --node-id a --cluster-id ops --data-dir ${dataDir}`, 'member add NEW=', 'serve --node-id NEW --cluster-id ops .* --join --peer a=', 'member promote NEW']) {
    t.regex(done.stdout, new RegExp(`^ {2}vexcoord ${next}`, 'm'));
  }
  t.is(readFileSync(join(dataDir, 'RECOVERED.jsonl'), 'utf8').trim().split('\n').length, 2);
  await operator.serve('a', at('a'));
  t.is((await vexcoord(['publish', '--api', at('a').api], events(10, '/after'))).status, 0);
  const journal = await vexcoord(['subscribe', '--from', 'first', '--count', '110', '--api', at('a').api]);
  const paths = journal.lines.map((line) => (JSON.parse(line) as { event: { path: string } }).event.path);
  t.deepEqual(paths.sort(), [...Array.from({ length: 100 }, (_, n) => `/e/${n}`), ...Array.from({ length: 10 }, (_, n) => `/after/${n}`)].sort());
  // Who was lost and comes back is told, and does not lead what it has left.
  await operator.serve('b', at('b'), peers('b'));
  const told = await (operator.served.get('b') as Served).ended;
  t.is(told.status, 1);
  t.regex(told.stderr, /^MEMBER_REMOVED: /m);
  // Others join what has begun again.
  await operator.json(['member', 'add', `d=${at('d').listen}`, '--api', at('a').api]);
  await operator.serve('d', at('d'), ['--join', '--peer', `a=${at('a').listen}`]);
  await operator.persist(['member', 'promote', 'd', '--api', at('a').api]);
  t.is((await vexcoord(['publish', '--api', at('d').api], events(3, '/more'))).status, 0);
});

test.serial('serve logs a refusal once on both sides, and changes of its health', async (t) => {
  const operator = new Operator(t);
  const places = await operator.ports(['a', 'b']);
  const at = (id: string) => places.get(id) as { listen: string; api: string };
  await operator.serve('a', at('a'), ['--peer', `b=${at('b').listen}`]);
  await operator.serve('b', at('b'), ['--peer', `a=${at('a').listen}`, '--cluster-id', 'other']);
  // A refused dial is tried again after two seconds at most.
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  for (const id of ['a', 'b']) {
    const { stderr } = await operator.stop(id);
    const lines = stderr.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as { level: number; msg: string; code?: string });
    const refusals = lines.filter(({ code }) => code === 'CLUSTER_MISMATCH').map(({ msg }) => msg).sort();
    t.is(refusals.length, 2, stderr);
    t.regex(refusals[0] ?? '', /^its connection was refused: CLUSTER_MISMATCH: node .* belongs to cluster /);
    t.regex(refusals[1] ?? '', /^refused a connection: CLUSTER_MISMATCH: node .* belongs to cluster /);
    t.is(lines.filter(({ msg }) => msg.startsWith('health is degraded: no leader')).length, 1, stderr);
  }
});
