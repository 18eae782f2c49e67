/** Entry of the network's Worker, which ends by itself once the network is closed. */
import { parentPort, workerData } from 'node:worker_threads';
import { CoordinatorError } from '../errors/index.js';
import type { WorkerInput } from './messages.js';
import { runPeers } from './running.js';

const port = parentPort;
if (port === null) throw new CoordinatorError('INTERNAL', 'the network worker was started outside a Worker');
void runPeers(workerData as WorkerInput, {
  post: (message) => port.postMessage(message),
  onMessage: (listener) => void port.on('message', listener),
  // The last handle: without it the thread ends.
  close: () => port.close(),
});
