/** Single events of the causal lane: by their id, or by where they stand. */
import type { Delivery } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type CausalContext, CausalDeliveries, type CausalDelivery, CausalPlace, DEGRADED, formatUuid, isOwnId } from '../events/index.js';
import { CAUSAL_GROUP, causalFetch, type Core, END, type KeptEvent, NativeCausalReader } from '../native/index.js';
import type { Origins } from './origins.js';
import { type Asked, readDegraded } from './place-notice.js';
import type { Requests } from './requests.js';

export interface CausalEventsPorts {
  readonly core: Pick<Core, 'find' | 'handle'>;
  readonly requests: Requests;
  readonly origins: Origins;
  readonly context: CausalContext;
}

const READ_BYTES = 1024 * 1024;

/** Where an event stands: whose entry, its counter, and which of its events. */
export type CausalPosition = Pick<KeptEvent, 'actor' | 'index' | 'offset'>;

export class CausalEvents {
  readonly #ports: CausalEventsPorts;

  constructor(ports: CausalEventsPorts) {
    this.#ports = ports;
  }

  /** Where an event stands that is among the lane's last `dedup.windowEvents` here; null for any other. */
  async find(id: Uint8Array, timeoutMs: number): Promise<CausalPosition | null> {
    const { core, requests } = this.#ports;
    const end = await requests.make({ what: 'the look-up of an event id', group: CAUSAL_GROUP, timeoutMs, reads: true }, (request) => core.find(request, CAUSAL_GROUP, id));
    return end.kind === END.keptInPart ? (end.keptEvents[0] ?? null) : null;
  }

  /** As `at`, and nothing for an event that its log has let go of. */
  kept(position: CausalPosition, id: Uint8Array): Delivery | undefined {
    try {
      return this.at(position, id);
    } catch (thrown) {
      if (thrown instanceof CoordinatorError && thrown.code === 'CURSOR_COMPACTED') return undefined;
      throw thrown;
    }
  }

  /** What an event was to be that was lowered (decision 23): the note of it is in front of it, in its entry. Null where none is. */
  askedOf({ actor, index, offset }: CausalPosition, id: Uint8Array): Asked | null {
    const { core, origins, context } = this.#ports;
    const [before, named] = [CausalPlace.first.within(origins.named(actor), index, -1), formatUuid(id)];
    try {
      const reader = new NativeCausalReader(core.handle, before.encode());
      for (let left = offset; left > 0; ) {
        const read = [...new CausalDeliveries(reader.read(READ_BYTES, left, 0), context, before)];
        for (const { event } of read) {
          const note = event.code === DEGRADED && isOwnId(event.id) ? readDegraded(event) : null;
          if (note?.ids.includes(named)) return note.asked;
        }
        const last = read.at(-1);
        if (last === undefined || last.origin.name !== actor || last.index !== index) return null;
        left = offset - last.offset - 1;
      }
    } catch (thrown) {
      if (!(thrown instanceof CoordinatorError) || thrown.code !== 'CURSOR_COMPACTED') throw thrown;
    }
    return null;
  }

  /** Has an entry fetched that is known here and not held. */
  fetch({ actor, index }: CausalPosition): void {
    const { core, origins } = this.#ports;
    causalFetch(core.handle, origins.named(actor), index);
  }

  /** The event itself, if it is delivered here. Throws `LOG_DAMAGED` and `CURSOR_COMPACTED`. */
  at({ actor, index, offset }: CausalPosition, id: Uint8Array): CausalDelivery | undefined {
    const { core, origins, context } = this.#ports;
    const before = CausalPlace.first.within(origins.named(actor), index, offset - 1);
    const reader = new NativeCausalReader(core.handle, before.encode());
    const [delivery] = new CausalDeliveries(reader.read(1, 1, 0), context, before);
    return delivery?.event.id === formatUuid(id) ? delivery : undefined;
  }
}
