/** Publishes that wait in front of the lanes until it is known where they go: each line in its order, all of them within bounds. */
import { CoordinatorError, type ErrorCode } from '../errors/index.js';
import { onAbort } from '../runtime/index.js';

export interface WaitingRoomPorts {
  readonly bytesMax: number;
  monotonicMs(): number;
}

/** One publish as it waits. */
export interface Patience<T> {
  readonly bytes: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** What of it is known where it ends here. */
  committed(): 'no' | 'unknown';
  /**
   * Goes on its way, with the time that is left, if it can; null where it cannot yet. Its way is decided and begun before this returns, so that
   * nothing that ends here has gone on. Throws what ends it.
   */
  go(leftMs: number): Promise<T> | null;
}

interface Waiter {
  readonly bytes: number;
  readonly endsMs: number;
  /** Whether it has left. */
  tries(): boolean;
  end(code: ErrorCode, how: string): void;
}

/** As many as wait for room elsewhere. */
const WAITERS_MAX = 10_000;
const POLL_MS = 20;

/** Invariant: `#bytes` is the sum over `#lines`, `#waiters` their number, and nobody who has left is in either. */
export class WaitingRoom {
  readonly #ports: WaitingRoomPorts;
  readonly #lines = new Map<object, Set<Waiter>>();
  #waiters = 0;
  #bytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(ports: WaitingRoomPorts) {
    this.#ports = ports;
  }

  /** Whether nobody waits in a line. */
  isFree(line: object): boolean {
    return !this.#lines.has(line);
  }

  /** Waits behind those of the same line; without one, for itself. Rejects with `TIMEOUT`, `ABORTED`, `BACKPRESSURE` and `CLOSED` besides what `go` throws. */
  wait<T>(line: object | null, patience: Patience<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const { bytes, signal } = patience;
      const key = line ?? patience;
      let forget = (): void => {};
      const end = (code: ErrorCode, how: string) => {
        leave();
        reject(new CoordinatorError(code, `the publish ${how} while it waited for a quorum, or for what its session published before it`, { committed: patience.committed() }));
      };
      const abort = () => end('ABORTED', 'was aborted');
      const waiter: Waiter = {
        bytes,
        endsMs: this.#ports.monotonicMs() + patience.timeoutMs,
        tries: () => {
          try {
            const ended = patience.go(Math.max(1, waiter.endsMs - this.#ports.monotonicMs()));
            if (ended === null) return false;
            leave();
            resolve(ended);
          } catch (thrown) {
            leave();
            reject(thrown);
          }
          return true;
        },
        end,
      };
      const leave = () => {
        this.#leave(key, waiter);
        forget();
      };
      if (this.#closed) return end('CLOSED', 'came to a node that closes');
      if (signal?.aborted) return abort();
      if (this.#waiters >= WAITERS_MAX || (this.#bytes > 0 && this.#bytes + bytes > this.#ports.bytesMax)) {
        const sentence = `${this.#waiters} publishes of ${this.#bytes} bytes wait for a quorum, or for places, already; await their receipts first`;
        return reject(new CoordinatorError('BACKPRESSURE', sentence, { committed: patience.committed() }));
      }
      forget = onAbort(signal, abort);
      this.#enter(key, waiter);
    });
  }

  /** Lets go whoever can. */
  look(): void {
    for (const [key, line] of [...this.#lines]) this.#serve(key, line);
  }

  /** The same, in one line alone. */
  lookAt(key: object): void {
    const line = this.#lines.get(key);
    if (line !== undefined) this.#serve(key, line);
  }

  /** Ends everybody, now and later. */
  close(): void {
    this.#closed = true;
    for (const line of [...this.#lines.values()]) for (const waiter of [...line]) waiter.end('CLOSED', 'ended with its node');
  }

  #enter(key: object, waiter: Waiter): void {
    const line = this.#lines.get(key) ?? new Set();
    this.#lines.set(key, line.add(waiter));
    this.#waiters += 1;
    this.#bytes += waiter.bytes;
    this.#timer ??= setInterval(() => this.#tick(), POLL_MS).unref();
  }

  #leave(key: object, waiter: Waiter): void {
    const line = this.#lines.get(key);
    if (line?.delete(waiter) !== true) return;
    this.#waiters -= 1;
    this.#bytes -= waiter.bytes;
    if (line.size === 0) this.#lines.delete(key);
    if (this.#waiters > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #tick(): void {
    const nowMs = this.#ports.monotonicMs();
    for (const line of [...this.#lines.values()]) for (const waiter of line) if (waiter.endsMs <= nowMs) waiter.end('TIMEOUT', 'timed out');
    this.look();
  }

  #serve(key: object, line: Set<Waiter>): void {
    for (const waiter of line) {
      // Whoever went may have ended others, or the whole line.
      if (this.#lines.get(key) !== line || !line.has(waiter)) continue;
      if (!waiter.tries()) return;
    }
  }
}
