/** Events of the causal lane that have a place in the ordered one: the receipts they got when they were published (rules R2, R3). */
import type { Delivery, EventInput, Receipt } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type Catalogue, CausalPlace, type CursorCodec } from '../events/index.js';
import type { Journal } from './journal.js';
import type { Origins } from './origins.js';
import { digestOf, receiptOfNotice } from './place-notice.js';
import type { Placing } from './placing.js';
import type { Ending } from './publisher.js';
import { fieldsOf } from './receipt.js';

export interface PlacesPorts {
  readonly placing: Pick<Placing, 'askedOf' | 'waitsFor'>;
  readonly journal: Pick<Journal, 'kept'>;
  readonly origins: Pick<Origins, 'named'>;
  readonly cursors: CursorCodec;
  readonly catalogue: Catalogue;
}

export class Places {
  readonly #ports: PlacesPorts;

  constructor(ports: PlacesPorts) {
    this.#ports = ports;
  }

  /** Of a publish that was refused since its id has a place already: the first receipt, if that was a notice of this very event. */
  firstReceipt(ending: Ending, event: EventInput, group: number): Ending {
    if (!(ending instanceof CoordinatorError) || ending.code !== 'EVENT_ID_REUSED') return ending;
    const { index, offset } = ending.details as { index: string; offset: number };
    const notice = this.#ports.journal.kept(group, { index: BigInt(index), offset });
    const known = notice === undefined ? null : this.#read(notice);
    return known !== null && known.digest === digestOf(event, this.#ports.catalogue) ? known.receipt : ending;
  }

  /** Of a delivery of the ordered lane that is a notice; null for any other. */
  receiptOf(delivery: Delivery): Receipt | null {
    return this.#read(delivery)?.receipt ?? null;
  }

  /** Whether an event waits for its place here: a fence would take it. */
  waitsFor(id: string): boolean {
    return this.#ports.placing.waitsFor(id);
  }

  /** The receipt of an event of the causal lane, with what is known here of why it is there. */
  told(receipt: Receipt): Receipt {
    const asked = this.#ports.placing.askedOf(receipt.eventId);
    return asked === null ? receipt : { ...fieldsOf(receipt), requestedLevel: asked.level, degraded: true, rule: asked.rule };
  }

  #read(notice: Delivery): { readonly receipt: Receipt; readonly digest: string } | null {
    const read = receiptOfNotice(notice, (...place) => this.#cursorOf(...place));
    if (read === null) return null;
    const { digest, ...receipt } = read;
    return { receipt, digest };
  }

  /** After the event and what it follows; null where this node has not met who wrote it. */
  #cursorOf(actor: string, index: bigint, offset: number, clock: { readonly [actor: string]: string }): string | null {
    const { origins, cursors } = this.#ports;
    try {
      const followed = Object.entries(clock).filter(([name]) => name !== actor).map(([name, counter]) => [origins.named(name), BigInt(counter)] as const);
      return cursors.encodeCausal(CausalPlace.first.after(followed).within(origins.named(actor), index, offset).encode());
    } catch {
      return null;
    }
  }
}
