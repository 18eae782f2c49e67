interface Waiting {
  readonly callbacks: Set<() => void>;
  readonly listener: () => void;
}

const waiting = new WeakMap<AbortSignal, Waiting>();
const FORGOTTEN = (): void => {};

/**
 * Calls back once, when the signal aborts, unless what it returns was called before. A signal has one listener while anybody waits for it, however many
 * do: Node takes the eleventh for a leak, and one signal for thousands of publishes is none.
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return FORGOTTEN;
  const { callbacks, listener } = waiting.get(signal) ?? listen(signal);
  // Of its own, should the same function come twice.
  const one = () => callback();
  callbacks.add(one);
  return () => {
    callbacks.delete(one);
    if (callbacks.size > 0 || waiting.get(signal)?.callbacks !== callbacks) return;
    signal.removeEventListener('abort', listener);
    waiting.delete(signal);
  };
}

function listen(signal: AbortSignal): Waiting {
  const callbacks = new Set<() => void>();
  const listener = () => {
    for (const callback of callbacks) {
      callbacks.delete(callback);
      callback();
    }
  };
  signal.addEventListener('abort', listener, { once: true });
  const made = { callbacks, listener };
  waiting.set(signal, made);
  return made;
}
