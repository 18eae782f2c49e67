import { flushed } from './output.js';

/** Aborts at the first SIGINT or SIGTERM; a second one ends the process at once, as it would have without us. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort(signal));
  return controller.signal;
}

const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs `work`, whose signal aborts at the first signal that would end the process. Once it has cleaned up and rejects, `nothingDone` is on stderr,
 * and the process ends by that signal after all. What was done by then is not undone.
 */
export async function untilSignal<T>(work: (signal: AbortSignal) => Promise<T>, nothingDone: string): Promise<T> {
  const controller = new AbortController();
  let heard: NodeJS.Signals | null = null;
  const hear = (signal: NodeJS.Signals): void => {
    heard = signal;
    forget();
    controller.abort(signal);
  };
  // A second one ends the process at once, as it would have without us.
  const forget = (): void => {
    for (const signal of ENDING) process.off(signal, hear);
  };
  for (const signal of ENDING) process.on(signal, hear);
  try {
    return await work(controller.signal);
  } catch (thrown) {
    if (heard === null) throw thrown;
    process.stderr.write(`ABORTED: interrupted by ${heard}; ${nothingDone}\n`);
    await flushed();
    process.kill(process.pid, heard);
    throw thrown;
  } finally {
    forget();
  }
}
