/** Where the network runs: in a Worker of its own, but in the application's thread where its members are reached within the process. */
import { Worker } from 'node:worker_threads';
import type { FromWorker, ToWorker, WorkerInput } from './messages.js';
import { runPeers } from './running.js';

export interface RunnerHandlers {
  onMessage(message: FromWorker): void;
  /** It has failed, with what it threw. */
  onError(cause: unknown): void;
  /** Last, however it ended. */
  onEnd(status: number): void;
}

export interface Runner {
  post(message: ToWorker): void;
  /** From outside, where it does not end by itself. */
  terminate(): Promise<unknown>;
}

export function startRunner(input: WorkerInput, handlers: RunnerHandlers): Runner {
  return 'memory' in input.options.listen ? startHere(input, handlers) : startWorker(input, handlers);
}

function startWorker(input: WorkerInput, handlers: RunnerHandlers): Runner {
  // The process's own preloads and debug switches are not for this thread.
  const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: input, name: 'peer-network', execArgv: [] });
  worker.on('message', (message: FromWorker) => handlers.onMessage(message));
  worker.once('error', (cause) => handlers.onError(cause));
  worker.once('exit', (status) => handlers.onEnd(status));
  return { post: (message) => worker.postMessage(message), terminate: () => worker.terminate() };
}

/** Messages come in a later turn both ways, as from another thread: nobody is called back within his own call. */
function startHere(input: WorkerInput, handlers: RunnerHandlers): Runner {
  let take: ((message: ToWorker) => void) | null = null;
  let isOver = false;
  const end = (status: number): void => {
    if (isOver) return;
    isOver = true;
    queueMicrotask(() => handlers.onEnd(status));
  };
  runPeers(input, {
    post: (message) => queueMicrotask(() => handlers.onMessage(message)),
    onMessage: (listener) => {
      take = listener;
    },
    close: () => end(0),
  }).catch((cause: unknown) => {
    handlers.onError(cause);
    end(1);
  });
  return {
    post: (message) =>
      queueMicrotask(() => {
        if (!isOver) take?.(message);
      }),
    terminate: async () => end(1),
  };
}
