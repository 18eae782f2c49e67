/** The process of one node: does what its parent asks, and ends with it. */
import { createServer, type AddressInfo, type Server } from 'node:net';
import { Session as InspectorSession } from 'node:inspector/promises';
import { writeFileSync } from 'node:fs';
import { Coordinator } from '../../dist/index.js';
import type { Commands, Reply, Request } from './commands.js';
import { CausalFollower, publishCausal } from './causal.js';
import { crdtState, openCrdt, writeCrdt } from './crdts.js';
import { grow } from './growth.js';
import { inFlight } from './in-flight.js';
import { Journal } from './journal.js';
import { fillLog, openLog } from './long-log.js';
import { oneByOne } from './one-by-one.js';
import { OpenLoopRun } from './open-loop.js';
import { roundTrips } from './round-trips.js';

let coordinator: Coordinator | null = null;
let loop: OpenLoopRun | null = null;
let echo: Server | null = null;
const journal = new Journal();
const follower = new CausalFollower();
const inspector = new InspectorSession();

function node(): Coordinator {
  if (coordinator === null) throw new Error('the node was not started');
  return coordinator;
}

function ofLoop(): OpenLoopRun {
  if (loop === null) throw new Error('no loop runs');
  return loop;
}

type Answers = { readonly [Name in keyof Commands]: (options: Parameters<Commands[Name]>[0]) => Promise<ReturnType<Commands[Name]>> };

const answers: Answers = {
  start: async (config) => {
    if (config === undefined) throw new Error('no configuration');
    coordinator = await Coordinator.start(config);
    coordinator.on('failed', (error) => console.error(`node ${config.nodeId} failed: ${error.code}: ${error.message}`));
  },
  status: async () => {
    const { role, leader, term, appliedIndex, applyHash, counters, disk } = node().status();
    return { role, leader, term, appliedIndex, applyHash, elections: counters['elections'] ?? 0, syncP50Us: disk.syncP50Us, bytesSent: counters['network.bytesSent'] ?? 0 };
  },
  cpu: async () => {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
  now: async () => performance.now(),
  oneByOne: (options) => oneByOne(node(), options!),
  inFlight: (options) => inFlight(node(), options!),
  startLoop: async (options) => {
    loop = await OpenLoopRun.start(node(), options!, journal);
  },
  joinLoop: () => ofLoop().join(),
  stopLoop: () => ofLoop().stop(),
  checkJournal: () => journal.check(node()),
  block: async (options) => {
    // Answered first: the caller counts from here.
    setImmediate(() => block(options!));
  },
  fillLog: (options) => fillLog(options!),
  openLog: (options) => openLog(options!.dataDir),
  grow: (options) => grow(node(), options!),
  snapshot: async () => {
    const { bytes, close } = await node().saveSnapshot();
    await close();
    return bytes;
  },
  leadAll: () => node().members.transferLeadership(node().status().nodeId),
  add: async (options) => void (await node().members.add(options!.id, options!.address)),
  followCausal: async () => follower.begin(node()),
  publishCausal: (options) => publishCausal(node(), options!),
  followedCausal: (options) => follower.followed(options!.events),
  openCrdt: async (type) => openCrdt(node(), type!),
  writeCrdt: (options) => writeCrdt(node(), options!),
  crdtState: async () => crdtState(),
  holdNextSync: async (ms) => node().holdNextSync(ms!),
  echo: (host = '127.0.0.1') =>
    new Promise((resolve) => {
      const server = createServer({ noDelay: true }, (socket) => {
        socket.on('error', () => socket.destroy());
        socket.pipe(socket);
      });
      server.listen(0, host, () => resolve((server.address() as AddressInfo).port));
      echo = server;
    }),
  roundTrips: (options) => roundTrips(options!),
  startProfile: async () => {
    inspector.connect();
    await inspector.post('Profiler.enable');
    await inspector.post('Profiler.start');
  },
  stopProfile: async (file) => {
    const { profile } = await inspector.post('Profiler.stop');
    writeFileSync(file!, JSON.stringify(profile));
    inspector.disconnect();
  },
  close: async () => {
    await coordinator?.close();
    echo?.close();
  },
};

function block({ ms, busy }: { readonly ms: number; readonly busy: boolean }): void {
  if (!busy) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  else {
    const until = performance.now() + ms;
    while (performance.now() < until);
  }
}

async function answer(request: Request): Promise<Reply> {
  try {
    const run = answers[request.name] as (options: unknown) => Promise<unknown>;
    return { id: request.id, result: await run(request.options) };
  } catch (error) {
    return { id: request.id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

process.on('message', (request) => {
  void answer(request as Request).then((reply) => process.send?.(reply));
});
process.on('disconnect', () => process.exit(0));
// Ctrl-C reaches the whole group; the parent stops its nodes in order.
process.on('SIGINT', () => {});
process.send?.({ id: 0, result: undefined } satisfies Reply);
