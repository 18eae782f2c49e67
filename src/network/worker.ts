/** Entry of the network's Worker: opens the core's port, runs `Peers`, ends by itself once closed. */
import { parentPort, workerData } from 'node:worker_threads';
import { CoordinatorError } from '../errors/index.js';
import { Counters } from './counters.js';
import type { Credentials } from './credentials.js';
import type { FromWorker, ToWorker, WorkerInput } from './messages.js';
import type { NetworkMembers } from './options.js';
import { Peers } from './peers.js';
import type { PeerCoreModule } from './port.js';

async function run(input: WorkerInput): Promise<void> {
  const port = parentPort;
  if (port === null) throw new CoordinatorError('INTERNAL', 'the network worker was started outside a Worker');
  const post = (message: FromWorker) => port.postMessage(message);
  let peers: Peers | null = null;
  let closing = false;
  /** What came before there was anybody to tell. */
  let members: NetworkMembers | null = null;
  let credentials: Credentials | null = null;
  const end = async () => {
    closing = true;
    await peers?.close();
    // The last handle: without it the thread ends.
    port.close();
  };
  port.on('message', (message: ToWorker) => {
    if (message.kind === 'close') {
      if (!closing) void end();
    } else if (message.kind === 'credentials') {
      ({ credentials } = message);
      peers?.renew(credentials);
    } else {
      members = message;
      peers?.setMembers(message);
    }
  });
  try {
    const { openPeerCore } = (await import(input.coreModule)) as PeerCoreModule;
    if (closing) return;
    peers = new Peers(input.options, {
      core: openPeerCore(input.coreHandle),
      counters: new Counters(input.counters),
      onEvent: (event) => post({ kind: 'event', event }),
      random: Math.random,
    });
    if (members !== null) peers.setMembers(members);
    if (credentials !== null) peers.renew(credentials);
    post({ kind: 'listening', address: await peers.start() });
  } catch (thrown) {
    const { code, message, committed, details } = CoordinatorError.from(thrown);
    post({ kind: 'failed', error: { code, message, committed, details: details ?? null } });
    await end();
  }
}

void run(workerData as WorkerInput);
