/** Waiting until what a client has seen elsewhere is delivered here, so that it never goes back (Terry et al., "Session guarantees for weakly consistent replicated data", PDIS 1994). */
import { CoordinatorError } from '../errors/index.js';
import type { CursorCodec } from '../events/index.js';
import { CAUSAL_GROUP, causalReaches, type Core } from '../native/index.js';
import type { Growth } from './growth.js';

export interface CausalBarrierPorts {
  readonly core: Pick<Core, 'appliedIndex' | 'handle'>;
  readonly growth: Growth;
  readonly cursors: CursorCodec;
}

export class CausalBarrier {
  readonly #ports: CausalBarrierPorts;
  /** The node closes. */
  readonly #ended = new AbortController();

  constructor(ports: CausalBarrierPorts) {
    this.#ports = ports;
  }

  /** Resolves once everything that a cursor of the causal lane names is delivered here. Rejects with `CURSOR_INVALID`, `TIMEOUT`, `ABORTED` or `CLOSED`. */
  async pass(cursor: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { core, growth } = this.#ports;
    const place = this.#placeOf(cursor);
    // What is left of a time to wait is seldom a whole number.
    const expired = AbortSignal.timeout(Math.ceil(timeoutMs));
    const waits = AbortSignal.any([expired, this.#ended.signal, ...(signal === undefined ? [] : [signal])]);
    for (;;) {
      const delivered = core.appliedIndex(CAUSAL_GROUP);
      if (causalReaches(core.handle, place)) return;
      if (this.#ended.signal.aborted) throw new CoordinatorError('CLOSED', 'the node is closed', { committed: 'no' });
      if (signal?.aborted) throw new CoordinatorError('ABORTED', 'the wait for what the cursor names was aborted', { committed: 'no' });
      if (expired.aborted) throw new CoordinatorError('TIMEOUT', `what the cursor names was not delivered here within ${timeoutMs} ms`, { committed: 'no' });
      await growth.past(CAUSAL_GROUP, delivered, waits);
    }
  }

  /** Whether that is so already. Throws `CURSOR_INVALID`. */
  reaches(cursor: string): boolean {
    return causalReaches(this.#ports.core.handle, this.#placeOf(cursor));
  }

  #placeOf(cursor: string): Uint8Array {
    const place = this.#ports.cursors.decodeCausal(cursor);
    if (place === null) throw new CoordinatorError('CURSOR_INVALID', 'the cursor is of the ordered lane; what follows it is asked of readBarrier with its group');
    return place;
  }

  close(): void {
    this.#ended.abort();
  }
}
