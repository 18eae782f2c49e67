/** Waiting until what a client has seen elsewhere is delivered here, so that it never goes back (Terry et al., "Session guarantees for weakly consistent replicated data", PDIS 1994). */
import { CoordinatorError } from '../errors/index.js';
import { CausalPlace, type CursorCodec } from '../events/index.js';
import { CAUSAL_GROUP, causalReaches, type Core } from '../native/index.js';
import type { Growth } from './growth.js';
import type { Turns } from './session.js';

export interface CausalBarrierPorts {
  readonly core: Pick<Core, 'appliedIndex' | 'handle'>;
  readonly growth: Growth;
  readonly cursors: CursorCodec;
}

/** As many as wait for room elsewhere. */
const WAITERS_MAX = 10_000;

/** What ends a wait. */
interface Limits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly expired: AbortSignal;
  /** Any of them, or the node's end. */
  readonly any: AbortSignal;
}

export class CausalBarrier {
  readonly #ports: CausalBarrierPorts;
  /** Publishes that wait for what they follow, or behind such. */
  #waiting = 0;
  /** The node closes. */
  readonly #ended = new AbortController();

  constructor(ports: CausalBarrierPorts) {
    this.#ports = ports;
  }

  /** Resolves once everything that a cursor of the causal lane names is delivered here. Rejects with `CURSOR_INVALID`, `TIMEOUT`, `ABORTED` or `CLOSED`. */
  async pass(cursor: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    await this.#reach(this.#placeOf(cursor), this.#limits(timeoutMs, signal));
  }

  /**
   * Begins a publish once `after` is delivered here and those have begun that came before it in its session. It ends at its own deadline, whoever
   * it waits behind, and has not begun then. Rejects as `pass`, and with `BACKPRESSURE`.
   */
  async behind<T>(turns: Turns | null, after: string | undefined, timeoutMs: number, signal: AbortSignal | undefined, begin: () => Promise<T>): Promise<T> {
    const place = after === undefined ? null : this.#placeOf(after);
    if (this.#waiting >= WAITERS_MAX) throw new CoordinatorError('BACKPRESSURE', `${WAITERS_MAX} publishes wait for what they follow already; await their receipts first`, { committed: 'no' });
    const limits = this.#limits(timeoutMs, signal);
    let begun: { readonly ended: Promise<T> } | null = null;
    const act = async (): Promise<{ readonly ended: Promise<T> }> => {
      if (place !== null) await this.#reach(place, limits);
      this.#check(limits);
      // Within the turn: whoever comes next comes behind it.
      begun = { ended: begin() };
      return begun;
    };
    this.#waiting += 1;
    const acted = turns === null ? act() : turns.take(act);
    const left = () => {
      this.#waiting -= 1;
    };
    acted.then(left, left);
    let over = () => {};
    const ends = new Promise<never>((_, reject) => {
      over = () => {
        try {
          if (begun === null) this.#check(limits);
        } catch (thrown) {
          reject(thrown);
        }
      };
      limits.any.addEventListener('abort', over, { once: true });
    });
    over();
    try {
      return await (await Promise.race([acted, ends])).ended;
    } finally {
      limits.any.removeEventListener('abort', over);
    }
  }

  #limits(timeoutMs: number, signal: AbortSignal | undefined): Limits {
    // What is left of a time to wait is seldom a whole number.
    const expired = AbortSignal.timeout(Math.ceil(timeoutMs));
    return { timeoutMs, signal, expired, any: AbortSignal.any([expired, this.#ended.signal, ...(signal === undefined ? [] : [signal])]) };
  }

  async #reach(place: Uint8Array, limits: Limits): Promise<void> {
    const { core, growth } = this.#ports;
    for (;;) {
      const delivered = core.appliedIndex(CAUSAL_GROUP);
      if (causalReaches(core.handle, place)) return;
      this.#check(limits);
      await growth.past(CAUSAL_GROUP, delivered, limits.any);
    }
  }

  #check({ timeoutMs, signal, expired }: Limits): void {
    if (this.#ended.signal.aborted) throw new CoordinatorError('CLOSED', 'the node is closed', { committed: 'no' });
    if (signal?.aborted) throw new CoordinatorError('ABORTED', 'the wait for what the cursor names was aborted', { committed: 'no' });
    if (expired.aborted) throw new CoordinatorError('TIMEOUT', `what the cursor names was not delivered here within ${timeoutMs} ms`, { committed: 'no' });
  }

  /** Whether that is so already. Throws `CURSOR_INVALID`. */
  reaches(cursor: string): boolean {
    return causalReaches(this.#ports.core.handle, this.#placeOf(cursor));
  }

  #placeOf(cursor: string): Uint8Array {
    const place = this.#ports.cursors.decodeCausal(cursor);
    if (place === null) throw new CoordinatorError('CURSOR_INVALID', 'the cursor is of the ordered lane; what follows it is asked of readBarrier with its group');
    CausalPlace.read(place);
    return place;
  }

  close(): void {
    this.#ended.abort();
  }
}
