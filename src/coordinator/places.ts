/** Events of the causal lane that have a place in the ordered one: the receipts they got when they were published (rules R2, R3). */
import type { Delivery, EventInput, Receipt } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type Catalogue, CausalPlace, type CursorCodec, formatUuid, parseUuid } from '../events/index.js';
import type { CausalEvents, CausalPosition } from './causal-events.js';
import type { CausalPublisher } from './causal-publisher.js';
import type { Journal } from './journal.js';
import type { Origins } from './origins.js';
import { digestOf, receiptOfNotice } from './place-notice.js';
import type { Placing } from './placing.js';
import type { Ending } from './publisher.js';
import { fieldsOf } from './receipt.js';

export interface PlacesPorts {
  readonly placing: Pick<Placing, 'askedOf' | 'waitsFor'>;
  readonly journal: Pick<Journal, 'kept'>;
  readonly causal: Pick<CausalEvents, 'find' | 'kept' | 'askedOf'> & Pick<CausalPublisher, 'receiptOf'>;
  readonly origins: Pick<Origins, 'named'>;
  readonly cursors: CursorCodec;
  readonly catalogue: Catalogue;
  readonly timeoutMs: number;
}

export class Places {
  readonly #ports: PlacesPorts;

  constructor(ports: PlacesPorts) {
    this.#ports = ports;
  }

  /** Of a publish that was refused since its id has a place already: the first receipt, if that was a notice of this very event. */
  async firstReceipt(ending: Ending, event: EventInput, group: number): Promise<Ending> {
    if (!(ending instanceof CoordinatorError) || ending.code !== 'EVENT_ID_REUSED') return ending;
    const { index, offset } = ending.details as { index: string; offset: number };
    const delivery = this.#ports.journal.kept(group, { index: BigInt(index), offset });
    if (delivery !== undefined) return (this.isOf(delivery, event) && this.receiptOf(delivery)) || ending;
    return (await this.#withoutNotice(event)) ?? ending;
  }

  /** Whether a delivery of the ordered lane is this event, or the notice of it. */
  isOf(delivery: Delivery, event: EventInput): boolean {
    const { catalogue } = this.#ports;
    return (this.#read(delivery)?.digest ?? digestOf(delivery.event, catalogue)) === digestOf(event, catalogue);
  }

  /** Of a delivery of the ordered lane that is a notice; null for any other. */
  receiptOf(delivery: Delivery): Receipt | null {
    return this.#read(delivery)?.receipt ?? null;
  }

  /** Whether an event waits for its place here: a fence would take it. */
  waitsFor(id: string): boolean {
    return this.#ports.placing.waitsFor(id);
  }

  /** The receipt of an event of the causal lane that was lowered; null for any other. */
  loweredAt(position: CausalPosition, id: Uint8Array): Receipt | null {
    const { placing, causal } = this.#ports;
    const asked = placing.askedOf(formatUuid(id)) ?? causal.askedOf(position, id);
    return asked === null ? null : { ...fieldsOf(causal.receiptOf(position, id)), requestedLevel: asked.level, degraded: true, rule: asked.rule };
  }

  /** The receipt of an event of the causal lane. */
  told(position: CausalPosition, id: Uint8Array): Receipt {
    return this.loweredAt(position, id) ?? this.#ports.causal.receiptOf(position, id);
  }

  /** The journal has let go of what has the event's id: the event itself says whether it was lowered, where the causal lane still has it. */
  async #withoutNotice(event: EventInput): Promise<Receipt | null> {
    const { causal, catalogue, timeoutMs } = this.#ports;
    const id = parseUuid(event.id ?? '');
    const position = id === null ? null : await causal.find(id, timeoutMs);
    if (id === null || position === null) return null;
    const delivery = causal.kept(position, id);
    return delivery !== undefined && digestOf(delivery.event, catalogue) === digestOf(event, catalogue) ? this.loweredAt(position, id) : null;
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
