/** Runs `Peers` behind messages: in a Worker (`worker.ts`), or in the application's own thread (`runner.ts`). */
import { CoordinatorError } from '../errors/index.js';
import { Counters } from './counters.js';
import type { Credentials } from './credentials.js';
import type { FromWorker, ToWorker, WorkerInput } from './messages.js';
import type { NetworkMembers } from './options.js';
import { Peers } from './peers.js';
import type { PeerCoreModule } from './port.js';

export interface RunningPort {
  post(message: FromWorker): void;
  onMessage(listener: (message: ToWorker) => void): void;
  /** Nothing more comes. */
  close(): void;
}

export async function runPeers(input: WorkerInput, port: RunningPort): Promise<void> {
  let peers: Peers | null = null;
  let closing = false;
  /** What came before there was anybody to tell. */
  let members: NetworkMembers | null = null;
  let credentials: Credentials | null = null;
  const end = async () => {
    closing = true;
    await peers?.close();
    port.close();
  };
  port.onMessage((message) => {
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
      onEvent: (event) => port.post({ kind: 'event', event }),
      random: Math.random,
    });
    if (members !== null) peers.setMembers(members);
    if (credentials !== null) peers.renew(credentials);
    port.post({ kind: 'listening', address: await peers.start() });
  } catch (thrown) {
    const { code, message, committed, details } = CoordinatorError.from(thrown);
    port.post({ kind: 'failed', error: { code, message, committed, details: details ?? null } });
    await end();
  }
}
