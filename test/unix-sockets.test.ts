/** Files of sockets: whose place is taken, whose is left alone, and who may open them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, linkSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { parseAddress } from '../dist/config/index.js';
import { unix } from '../dist/network/unix.js';
import type { TransportListener, TransportStream } from '../dist/network/transport.js';
import { directoryOf, helloOf, optionsOf, startMember, until } from './fixtures/network.js';
import { Authority } from './fixtures/certificates.js';
import { probePeer } from '../dist/network/probe.js';
import { room } from './helpers/cluster.js';

async function listen(t: ExecutionContext, path: string): Promise<TransportListener> {
  const accepted: TransportStream[] = [];
  const listener = await unix.listen({ path }, { onStream: (one) => accepted.push(one), onArrival: () => {}, onLost: () => {}, onError: () => {} });
  t.teardown(() => {
    for (const { stream } of accepted) stream.destroy();
    return listener.close();
  });
  return listener;
}

/** A socket whose process was killed. */
async function desert(path: string): Promise<void> {
  const child = spawn(process.execPath, ['-e', `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('listens'))`], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
}

const dials = (path: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect({ path }, () => {
      socket.destroy();
      resolve('connected');
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
  });

test('a socket is its owner’s alone, has no other file beside it, and goes with its listener', async (t) => {
  const directory = room(t);
  const path = join(directory, 'a.sock');
  const listener = await listen(t, path);
  t.is(statSync(path).mode & 0o777, 0o600);
  t.deepEqual(readdirSync(directory), ['a.sock']);
  t.is(await dials(path), 'connected');
  await listener.close();
  t.deepEqual(readdirSync(directory), []);
});

test('the socket of a process that was killed is taken over', async (t) => {
  const directory = room(t);
  const path = join(directory, 'a.sock');
  await desert(path);
  t.is(await dials(path), 'ECONNREFUSED');
  await listen(t, path);
  t.is(await dials(path), 'connected');
  t.deepEqual(readdirSync(directory), ['a.sock']);
});

test('of many that take a deserted socket over at once one has it, and the others are told', async (t) => {
  for (let round = 0; round < 5; round++) {
    const directory = room(t);
    const path = join(directory, 'a.sock');
    await desert(path);
    const all = await Promise.allSettled(Array.from({ length: 20 }, () => listen(t, path)));
    const told = all.flatMap((one) => (one.status === 'rejected' ? [(one.reason as NodeJS.ErrnoException).code] : []));
    t.deepEqual(told, Array.from({ length: 19 }, () => 'EADDRINUSE'));
    t.is(await dials(path), 'connected');
    t.deepEqual(readdirSync(directory), ['a.sock']);
  }
});

test('one that somebody listens on is left alone, whoever made it', async (t) => {
  const path = join(room(t), 'a.sock');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => server.close());
  const { ino } = lstatSync(path);
  await t.throwsAsync(listen(t, path), { code: 'EADDRINUSE', message: `EADDRINUSE: ${path}: somebody listens there` });
  t.is(lstatSync(path).ino, ino);
  t.is(await dials(path), 'connected');
});

test('no file of another kind is taken for one', async (t) => {
  const directory = room(t);
  const [file, folder, dangling] = [join(directory, 'file'), join(directory, 'folder'), join(directory, 'dangling')];
  writeFileSync(file, 'mine');
  mkdirSync(folder);
  symlinkSync(join(directory, 'nowhere'), dangling);
  for (const path of [file, folder, dangling]) await t.throwsAsync(listen(t, path), { code: 'EEXIST', message: `EEXIST: ${path}: a file of another kind is there` });
  t.is(readFileSync(file, 'utf8'), 'mine');
  t.deepEqual(readdirSync(directory).sort(), ['dangling', 'file', 'folder']);
});

test('what has come in the place of a socket is not taken away by its listener', async (t) => {
  const directory = room(t);
  const [path, other] = [join(directory, 'a.sock'), join(directory, 'b.sock')];
  const listener = await listen(t, path);
  unlinkSync(path);
  writeFileSync(path, 'mine');
  await listener.close();
  t.is(readFileSync(path, 'utf8'), 'mine');

  const [first, second] = [await listen(t, other), await listen(t, join(directory, 'c.sock'))];
  renameSync(join(directory, 'c.sock'), other);
  await first.close();
  t.is(await dials(other), 'connected');
  await second.close();
});

test('a socket that was moved, or whose file is gone, is nobody’s concern', async (t) => {
  const directory = room(t);
  const path = join(directory, 'a.sock');
  const listener = await listen(t, path);
  linkSync(path, join(directory, 'kept'));
  rmSync(path);
  await listener.close();
  t.deepEqual(readdirSync(directory), ['kept']);
});

test('a directory that is not there is named by its socket', async (t) => {
  const path = join(room(t), 'nowhere', 'a.sock');
  await t.throwsAsync(listen(t, path), { code: 'EACCES', message: `EACCES: ${path}: its directory is not there, or may not be written` });
});

test('the longest path works, and one that is longer is no address', async (t) => {
  const directory = room(t);
  const longest = join(directory, 'x'.repeat(107 - directory.length - 1));
  t.deepEqual(parseAddress(`unix:${longest}`), { path: longest });
  await listen(t, longest);
  t.is(await dials(longest), 'connected');
  t.is(parseAddress(`unix:${longest}x`), null);
  // A socket is made under a name of five bytes first.
  const short = `/${'d'.repeat(102)}/a`;
  t.is(short.length, 105);
  t.is(parseAddress(`unix:${short}`), null);
  t.not(parseAddress(`unix:${short.replace('dddd', '')}`), null);
  t.is(parseAddress(`unix:/${'é'.repeat(60)}`), null, 'bytes are counted, not characters');
});

test('members over sockets, in plain text and over TLS, link and pass bytes; who proves nothing is refused', async (t) => {
  const authority = await Authority.new();
  for (const isSecured of [false, true]) {
    const directory = room(t);
    const at = (id: string) => ({ path: join(directory, id) });
    const more = async (id: string) => ({ listen: at(id), ...(isSecured ? { credentials: await authority.credentials(id) } : {}) });
    const a = await startMember(t, optionsOf('a', { b: at('b') }, await more('a')));
    const b = await startMember(t, optionsOf('b', { a: at('a') }, await more('b')));
    await until(() => [a, b].every(({ core }) => core.count('up 0/0') === 1 && core.count('up 0/1') === 1), 'both links of both members');
    a.core.send([0, 0, Buffer.from('to b')]);
    await until(() => b.core.bytesOf('a/0').toString() === 'to b', 'the bytes');
    const names = b.events.flatMap((event) => (event.type === 'accepted' ? [event] : []));
    t.true(names.every(({ remote, listen: said }) => remote.startsWith(`unix:${at('b').path}:`) && said === `unix:${at('a').path}`));

    const { clusterId, nodeId, incarnation, directory: own } = helloOf('z', 'a');
    const probed = await probePeer(at('a'), 'a', { clusterId, nodeId, incarnation, directory: own }, { min: 1, max: 1 }, 2_000);
    t.is(probed.kind === 'answer' ? probed.answer.code : probed.kind, isSecured ? 'CERTIFICATE_REFUSED' : 'UNKNOWN_PEER');
    if (isSecured) await until(() => a.peers.counters.read().certificatesRefused === 1, 'the refusal');
  }
});

test('a member that is asked for at a path is silent where nobody listens, and unclear where it may live', async (t) => {
  const directory = room(t);
  const ask = (path: string) => probePeer({ path }, 'a', { clusterId: 'test', nodeId: 'z', incarnation: 1n, directory: directoryOf('z') }, { min: 1, max: 1 }, 300);
  t.is((await ask(join(directory, 'none'))).kind, 'silent');
  await desert(join(directory, 'deserted'));
  t.is((await ask(join(directory, 'deserted'))).kind, 'silent');
  await listen(t, join(directory, 'mute'));
  t.is((await ask(join(directory, 'mute'))).kind, 'unclear');
  writeFileSync(join(directory, 'file'), '');
  t.true(existsSync(join(directory, 'file')));
  t.not((await ask(join(directory, 'file'))).kind, 'answer');
});
