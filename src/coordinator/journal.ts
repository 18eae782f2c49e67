/** This node's journal, group by group: where it begins, what stands at a place, where a subscription starts. */
import type { Delivery } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type Catalogue, type CursorCodec, type DeliveryContext, DeliveryReader } from '../events/index.js';
import type { Core } from '../native/index.js';
import { type Position, REST_OF_ENTRY } from './position.js';

type JournalCore = Pick<Core, 'readJournal' | 'readPlace' | 'appliedIndex' | 'firstIndex' | 'status'>;

export class Journal {
  readonly #core: JournalCore;
  readonly #catalogue: Catalogue;
  readonly #cursors: CursorCodec;

  constructor(core: JournalCore, catalogue: Catalogue, cursors: CursorCodec) {
    this.#core = core;
    this.#catalogue = catalogue;
    this.#cursors = cursors;
  }

  /** What the deliveries of a group have in common. */
  context(group: number): Omit<DeliveryContext, 'consumer'> {
    return { catalogue: this.#catalogue, cursors: this.#cursors, group };
  }

  /** Deliveries from a place on, up to the first that follows something not delivered here in the causal lane (rule R6). Throws `CURSOR_COMPACTED` for one that the journal has no more, with the oldest cursor. */
  read(context: DeliveryContext, from: Position, bytesMax: number, eventsMax: number, filter: number): DeliveryReader {
    return this.#reading(context, from, () => this.#core.readJournal(context.group, from.index, from.offset, bytesMax, eventsMax, filter));
  }

  #reading(context: DeliveryContext, from: Position, read: () => Buffer): DeliveryReader {
    try {
      return new DeliveryReader(read(), context);
    } catch (thrown) {
      throw thrown instanceof CoordinatorError && thrown.code === 'CURSOR_COMPACTED' ? this.#compacted(context.group, from, thrown) : thrown;
    }
  }

  /** The one delivery at a place, if the journal has it, whatever it follows in the causal lane. Throws `CURSOR_COMPACTED`. */
  at(group: number, index: bigint, offset: number): Delivery | undefined {
    const [delivery] = this.#reading({ ...this.context(group), consumer: null }, { index, offset }, () => this.#core.readPlace(group, index, offset));
    return delivery?.index === index && delivery.offset === offset ? delivery : undefined;
  }

  /** As `at`, and nothing for a place that the journal has let go of. */
  kept(group: number, { index, offset }: Position): Delivery | undefined {
    return index < this.firstIndex(group) ? undefined : this.at(group, index, offset);
  }

  /** Index of the first entry that the journal of a group has. */
  firstIndex(group: number): bigint {
    return this.#core.firstIndex(group);
  }

  /** Where a subscription starts: the event after a cursor's, the oldest one kept, the one after the newest snapshot, or the next. */
  startOf(from: string | undefined, group: number): Position {
    if (from === 'first') return { index: 0n, offset: 0 };
    if (from === undefined || from === 'latest') return { index: this.#core.appliedIndex(group) + 1n, offset: 0 };
    if (from === 'snapshot') return { index: this.#snapshotIndex(group) + 1n, offset: 0 };
    const cursor = this.#cursors.decode(from);
    if (cursor.group !== group) {
      throw new CoordinatorError('CURSOR_INVALID', `the cursor is of group ${cursor.group}, the subscription of group ${group}; a cursor holds within its group`);
    }
    return after(cursor);
  }

  #snapshotIndex(group: number): bigint {
    return this.#core.status().groups.find((one) => one.group === group)?.snapshotIndex ?? 0n;
  }

  #compacted(group: number, from: Position, cause: CoordinatorError): CoordinatorError {
    const firstIndex = this.firstIndex(group);
    // It names the end of the entry before: a subscription from it begins with the first event there is.
    const oldestCursor = this.#cursors.encode({ group, index: firstIndex - 1n, offset: REST_OF_ENTRY });
    const sentence = `index ${from.index} of group ${group} is no longer in this node's journal, which begins at ${firstIndex}; its oldest cursor is ${oldestCursor}`;
    return new CoordinatorError('CURSOR_COMPACTED', sentence, { details: { group, index: from.index.toString(), firstIndex: firstIndex.toString(), oldestCursor }, cause });
  }
}

/** The place right after an event. */
export function after({ index, offset }: Position): Position {
  return offset >= REST_OF_ENTRY ? { index: index + 1n, offset: 0 } : { index, offset: offset + 1 };
}

/** The last place before this one: what a new consumer has "acknowledged" when it starts here. */
export function before({ index, offset }: Position): Position {
  if (offset > 0) return { index, offset: offset - 1 };
  return index === 0n ? { index, offset } : { index: index - 1n, offset: REST_OF_ENTRY };
}
