/** Whom `vexcoord recover` takes for alive: every answer counts for who gave it, and silence must be proved. */
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { findVoters, refuseMajority } from '../dist/cli/recover/voters.js';
import { CoordinatorError } from '../dist/errors/index.js';
import { directoryOf, freePort, HOST, rawAcceptor } from './fixtures/network.js';

const VOTERS = ['a', 'b', 'c', 'd', 'e'];

/** What the stopped member `a` holds. */
const held = (voters: readonly string[] = VOTERS, quorums: readonly (readonly (readonly string[])[])[] = [[voters]]) => ({
  nodeId: 'a',
  clusterId: 'test',
  directory: directoryOf('a'),
  incarnation: 1n,
  groups: [],
  members: voters.map((id) => ({ id, role: 'voter' as const, address: null as string | null })),
  quorums,
});

const at = (port: number) => `${HOST}:${port}`;
const nobody = async () => at(await freePort());
const answering = async (t: ExecutionContext, id: string, changes = {}) => at((await rawAcceptor(t, id, () => {}, changes)).port);

/** Takes connections, as the kernel does for a process that is stopped, and says nothing. */
async function mute(t: ExecutionContext): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    t.teardown(() => void socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  t.teardown(() => void server.close());
  return at((server.address() as { port: number }).port);
}

async function asked(voters: readonly string[], peers: Record<string, string>, gone: readonly string[] = [], directory = held(voters)) {
  const found = await findVoters(directory, { peers, gone, timeoutMs: 300 });
  let refusal: CoordinatorError | null = null;
  try {
    refuseMajority(found, directory.quorums);
  } catch (error) {
    refusal = error as CoordinatorError;
  }
  return { states: found.map(({ state }) => state), code: refusal?.code, message: refusal?.message ?? '' };
}

test('time that passes proves nothing, also where no connection was made yet', async (t) => {
  const b = await answering(t, 'b');
  const directory = held(['a', 'b', 'c']);
  const asking = findVoters(directory, { peers: { b, c: b }, gone: [], timeoutMs: 1 });
  // The timer is due before this process can hear that it is connected.
  for (const end = performance.now() + 50; performance.now() < end; );
  const found = await asking;
  t.deepEqual(found.map(({ state }) => state), ['this node', 'unclear', 'unclear']);
  t.throws(() => refuseMajority(found, directory.quorums), { code: 'QUORUM_EXISTS' });
});

test('a mistyped address proves nothing of a voter that answers where the table has it, nor of one whose place another has taken', async (t) => {
  const [b, c, other] = [await answering(t, 'b'), await answering(t, 'c'), await answering(t, 'd')];
  const members = Object.entries({ a: null, b, c }).map(([id, address]) => ({ id, role: 'voter' as const, address }));
  const directory = { ...held(['a', 'b', 'c']), members };
  const mistyped = await asked(['a', 'b', 'c'], { b: await nobody(), c: await nobody() }, [], directory);
  t.deepEqual([mistyped.states, mistyped.code], [['this node', 'answers', 'answers'], 'QUORUM_EXISTS']);
  const stale = { ...directory, members: members.map((member) => (member.id === 'b' ? { ...member, address: other } : member)) };
  const moved = await asked(['a', 'b', 'c'], { b: await nobody(), c: await nobody() }, ['c'], stale);
  t.deepEqual([moved.states, moved.code], [['this node', 'unclear', 'gone'], 'USAGE']);
});

test("who answers at one of another's addresses is alive, whatever is met at the other one", async (t) => {
  const [b, c] = [await mute(t), await answering(t, 'c')];
  const members = VOTERS.map((id) => ({ id, role: 'voter' as const, address: id === 'b' ? c : null }));
  const peers = { b, c: await nobody(), d: await nobody(), e: await nobody() };
  const { states, code } = await asked(VOTERS, peers, [], { ...held(), members });
  t.deepEqual([states, code], [['this node', 'unclear', 'answers', 'silent', 'silent'], 'QUORUM_EXISTS']);
});

test('a voter that is named as what every object has is looked up as any other', async (t) => {
  const { states } = await asked(['a', 'constructor'], { constructor: await nobody() });
  t.deepEqual(states, ['this node', 'silent']);
  const peers = {} as Record<string, string>;
  const error = await t.throwsAsync(asked(['a', 'constructor'], peers), { code: 'USAGE' });
  t.regex(error?.message ?? '', /the address of the voter constructor is not in the directory/);
});

test('swapped addresses hide nobody', async (t) => {
  const [b, c] = [await answering(t, 'b'), await answering(t, 'c')];
  const { states, code, message } = await asked(['a', 'b', 'c'], { b: c, c: b });
  t.deepEqual(states, ['this node', 'answers', 'answers']);
  t.is(code, 'QUORUM_EXISTS');
  t.true(message.includes(`b at ${b}, the address given for c`), message);
});

test('one that answers where another was expected is alive, and makes a majority', async (t) => {
  const c = await answering(t, 'c', { accepted: false, code: 'NODE_MISMATCH' });
  const { states, code } = await asked(['a', 'b', 'c'], { b: c, c: await nobody() });
  t.deepEqual(states, ['this node', 'unclear', 'answers']);
  t.is(code, 'QUORUM_EXISTS');
});

test("an address that is another member's is named where no majority is known", async (t) => {
  const c = await answering(t, 'c');
  const { code, message } = await asked(VOTERS, { b: c, c: await nobody(), d: await nobody(), e: await nobody() });
  t.is(code, 'USAGE');
  t.true(message.includes(`the address ${c} of b is c's`), message);
  const without = await asked(VOTERS, { c, d: await nobody(), e: await nobody() }, ['b']);
  t.deepEqual(without.states, ['this node', 'gone', 'answers', 'silent', 'silent']);
  t.is(without.code, undefined);
});

test('who takes the connection and says nothing may be alive', async (t) => {
  const [b, c] = [await mute(t), await nobody()];
  const { states, code, message } = await asked(['a', 'b', 'c'], { b, c });
  t.deepEqual(states, ['this node', 'unclear', 'silent']);
  t.is(code, 'QUORUM_EXISTS');
  t.regex(message, new RegExp(`b at ${b} \\(takes the connection but does not answer within 300 ms\\).*--gone b only`));
  t.is((await asked(['a', 'b', 'c'], { c }, ['b'])).code, undefined);
});

test('another cluster, a stranger and a name that does not resolve prove nothing', async (t) => {
  const other = await answering(t, 'b', { clusterId: 'other' });
  t.regex((await asked(['a', 'b', 'c'], { b: other, c: await nobody() })).message, /node b of cluster other answers/);
  const server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  t.teardown(() => void server.close());
  const stranger = at((server.address() as { port: number }).port);
  t.regex((await asked(['a', 'b', 'c'], { b: stranger, c: await nobody() })).message, /what answers there is no member/);
  t.deepEqual((await asked(['a', 'b', 'c'], { b: 'nowhere.invalid:7400', c: await nobody() })).states, ['this node', 'unclear', 'silent']);
});

test('where this machine is cut off nothing is proved', (t) => {
  const probe = `import('${new URL('../dist/network/probe.js', import.meta.url)}').then(({ probePeer }) => probePeer({ host: '127.0.0.1', port: 9 }, 'b', ${JSON.stringify({ clusterId: 'c', nodeId: 'a' })}, { min: 1, max: 1 }, 1000)).then((probed) => console.log(JSON.stringify(probed)))`;
  // A network of its own has no interface that is up.
  const { status, stdout, stderr } = spawnSync('unshare', ['-rn', process.execPath, '--input-type=module', '-e', probe], { encoding: 'utf8' });
  if (status !== 0) {
    t.log(`skipped: no network namespace can be made here: ${stderr.trim().split('\n')[0]}`);
    t.pass();
    return;
  }
  t.like(JSON.parse(stdout), { kind: 'unclear', reason: 'connect ENETUNREACH 127.0.0.1:9 - Local (0.0.0.0:0)' });
});

test('a majority that takes no connection is gone', async (t) => {
  const { states, code } = await asked(['a', 'b', 'c'], { b: await nobody(), c: await nobody() });
  t.deepEqual(states, ['this node', 'silent', 'silent']);
  t.is(code, undefined);
});

test("names that are nobody's are refused with the voters'", async (t) => {
  for (const [gone, peers] of [[['x'], {}], [['a'], {}], [['b'], { x: 'localhost:1' }]] as const) {
    const error = await t.throwsAsync(findVoters(held(['a', 'b', 'c']), { peers, gone, timeoutMs: 300 }), { instanceOf: CoordinatorError });
    t.is(error?.code, 'USAGE');
    t.regex(error?.message ?? '', /voters? ?.*b, c/);
  }
});

test('a majority of the old voters counts while a replacement is under way', async (t) => {
  const replaced = held(['a', 'b', 'd'], [[['a', 'b', 'c']], [['a', 'b', 'd']]]);
  const [b, c, d] = [await nobody(), await answering(t, 'c'), await nobody()];
  const { states, code, message } = await asked([], { b, c, d }, [], replaced);
  t.deepEqual(states, ['this node', 'silent', 'answers', 'silent']);
  t.is(code, 'QUORUM_EXISTS');
  t.true(message.startsWith(`2 of 3 voters are there, a majority: a (this node), c at ${c};`), message);
});

test('a joint configuration is alive with a majority of both sets only', async (t) => {
  const joint = held(['a', 'b', 'd'], [[['a', 'b', 'd'], ['a', 'b', 'c']]]);
  const c = await answering(t, 'c');
  t.is((await asked([], { b: await nobody(), c, d: await nobody() }, [], joint)).code, undefined);
  const { code, message } = await asked([], { b: await mute(t), c, d: await nobody() }, [], joint);
  t.is(code, 'QUORUM_EXISTS');
  t.regex(message, /^a majority of the 3 and the 3 voters may be there, since it is unclear whether b at /);
});

test('a voter that only a configuration knows has to be named', async (t) => {
  const unnamed = '#00000000000000aa';
  const ahead = held(['a', 'b', 'c'], [[['a', 'b', 'c']], [['a', 'b', unnamed]]]);
  const peers = { b: await nobody(), c: await nobody() };
  const error = await t.throwsAsync(findVoters(ahead, { peers, gone: [], timeoutMs: 300 }), { instanceOf: CoordinatorError });
  t.true(error?.code === 'USAGE' && error.message.includes(unnamed), error?.message);
  t.is((await asked([], peers, [unnamed], ahead)).code, undefined);
});
