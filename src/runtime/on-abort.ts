const waiting = new WeakMap<AbortSignal, Set<() => void>>();
const FORGOTTEN = (): void => {};

/**
 * Calls back once, when the signal aborts, unless what it returns was called before. A signal has one listener, however many wait for it: Node takes
 * the eleventh for a leak, and one signal for thousands of publishes is none.
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return FORGOTTEN;
  const callbacks = waiting.get(signal) ?? listen(signal);
  // Of its own, should the same function come twice.
  const one = () => callback();
  callbacks.add(one);
  return () => void callbacks.delete(one);
}

function listen(signal: AbortSignal): Set<() => void> {
  const callbacks = new Set<() => void>();
  waiting.set(signal, callbacks);
  const abort = () => {
    for (const callback of callbacks) {
      callbacks.delete(callback);
      callback();
    }
  };
  signal.addEventListener('abort', abort, { once: true });
  return callbacks;
}
