import { createServer } from 'node:net';
import { BroadcastChannel } from 'node:worker_threads';
import test, { type ExecutionContext } from 'ava';
import { CoordinatorError } from '../dist/errors/index.js';
import type { NetworkEvent } from '../dist/network/events.js';
import { PeerNetwork, type PeerNetworkOptions } from '../dist/network/host.js';
import { freePort, HOST, optionsOf, until } from './fixtures/network.js';

const coreModule = new URL('./fixtures/peer-core.mjs', import.meta.url);
let handles = 0;

interface Hosted {
  readonly network: PeerNetwork;
  readonly events: NetworkEvent[];
  /** Calls that the core in the Worker received. */
  readonly calls: unknown[][];
  readonly wire: BroadcastChannel;
}

async function startHosted(t: ExecutionContext, options: Omit<PeerNetworkOptions, 'coreModule' | 'coreHandle'>): Promise<Hosted> {
  handles += 1;
  const wire = new BroadcastChannel(`peer-core-${handles}`);
  const calls: unknown[][] = [];
  wire.onmessage = (message) => void calls.push((message as { data: unknown[] }).data);
  t.teardown(() => wire.close());
  const network = await PeerNetwork.start({ ...options, coreModule, coreHandle: handles });
  t.teardown(() => network.close());
  const events: NetworkEvent[] = [];
  network.on('event', (event) => events.push(event));
  return { network, events, calls, wire };
}

function sockets(): string[] {
  return process.getActiveResourcesInfo().filter((name) => name.startsWith('TCP') || name === 'Worker' || name === 'MessagePort');
}

function codeOf(error: unknown): string | null {
  return error instanceof CoordinatorError ? error.code : null;
}

test.serial('two Workers link, pass bytes, and end without leaving anything open', async (t) => {
  const before = sockets();
  const portOfA = await freePort();
  const b = await startHosted(t, optionsOf('b', { a: portOfA }));
  const a = await startHosted(t, { ...optionsOf('a', { b: b.network.address() }), listen: { host: HOST, port: portOfA } });
  t.deepEqual(a.network.address(), { host: HOST, port: portOfA });
  await until(() => [a, b].every(({ network }) => network.stats().linksUpNow === 2 && network.stats().inboundNow === 2), 'all links');

  const payload = Buffer.from('frames of the core');
  const batch = Buffer.concat([Buffer.of(1, 0, 0, 0, payload.length, 0, 0, 0), payload]);
  a.wire.postMessage(batch);
  const data = () => b.calls.filter(([name]) => name === 'data').map(([, , chunk]) => Buffer.from(chunk as Uint8Array));
  await until(() => Buffer.concat(data()).equals(payload), 'the bytes');
  t.is(a.network.stats().bytesSent, payload.length);
  t.is(b.network.stats().bytesReceived, payload.length);
  const up = a.events.find((event) => event.type === 'up');
  t.is(up?.type === 'up' ? up.incarnation : null, 1n);

  const begunAt = performance.now();
  await Promise.all([a.network.close(), a.network.close(), b.network.close()]);
  t.true(performance.now() - begunAt < 1_500, 'the threads end by themselves');
  t.is(a.network.failure, null);
  await until(() => [a, b].every(({ calls }) => calls.at(-1)?.[0] === 'detach'), 'the last call');
  a.wire.close();
  b.wire.close();
  await until(() => sockets().length <= before.length, 'handles to be gone');
});

test.serial('a taken port rejects the start with PORT_IN_USE', async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  t.teardown(() => void server.close());
  const { port } = server.address() as { port: number };
  const error = await t.throwsAsync(startHosted(t, { ...optionsOf('a', {}), listen: { host: HOST, port } }));
  t.is(codeOf(error), 'PORT_IN_USE');
  t.true(error?.message.includes(`${HOST}:${port}`));
});

test.serial('a start that cannot work says why', async (t) => {
  const options = { ...optionsOf('a', {}), coreModule, coreHandle: 1 };
  t.is(codeOf(await t.throwsAsync(PeerNetwork.start({ ...options, coreModule: 'file:///nowhere/core.mjs' }))), 'INTERNAL');
  t.is(codeOf(await t.throwsAsync(PeerNetwork.start({ ...options, coreHandle: 0 }))), 'CLOSED');
  t.is(codeOf(await t.throwsAsync(PeerNetwork.start({ ...options, peerBytesMax: -1 }))), 'CONFIG_INVALID');
  t.is(codeOf(await t.throwsAsync(PeerNetwork.start({ ...options, listen: { host: '192.0.2.1', port: 0 } }))), 'CONFIG_INVALID');
});

test.serial('an uncaught exception in the Worker reaches the host', async (t) => {
  const a = await startHosted(t, optionsOf('a', {}));
  const failed = new Promise<CoordinatorError>((resolve) => a.network.on('error', resolve));
  a.wire.postMessage('throw');
  const error = await failed;
  t.is(error.code, 'NODE_FAILED');
  t.true(error.message.includes('a fault in the network thread'));
  t.is(a.network.failure, error);
  await a.network.close();
});

test.serial('a batch that does not add up is a fault, not silence', async (t) => {
  const a = await startHosted(t, optionsOf('a', {}));
  a.wire.postMessage(Buffer.of(0, 0, 0, 0, 9, 0, 0, 0, 1));
  await until(() => a.network.failure !== null, 'the failure, with nobody listening');
  t.true(a.network.failure?.message.includes('outbound batch'));
});

test.serial('a Worker that hangs is ended from outside', async (t) => {
  const a = await startHosted(t, optionsOf('a', {}));
  a.wire.postMessage('hang');
  await new Promise((resolve) => setTimeout(resolve, 100));
  const begunAt = performance.now();
  await a.network.close();
  t.true(performance.now() - begunAt < 5_000);
});
