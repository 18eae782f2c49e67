import type { Delivery, JsonValue, Level, OrderedEvent } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import type { CausalPlace, Origin } from './causal-place.js';
import { DeliveredEvent, type DeliveryContext, DeliveryItem } from './delivery-reader.js';
import { jsonOf } from './json.js';
import { CAUSAL, CAUSAL_BLOCK, CAUSAL_ROW_BYTES, DELIVERY } from './layout.js';
import { RecordReader } from './record-reader.js';

/** Of an item: its event is a head alone. */
const HEAD_ALONE = 1;

export interface CausalContext extends DeliveryContext {
  /** The origin of a number. */
  originOf(number: number): Origin;
}

/** An entry of an origin, as far as it was delivered. */
class Block {
  readonly context: CausalContext;
  readonly #bytes: Buffer;
  readonly #start: number;
  /** Where the reader stood before it. */
  readonly #before: () => CausalPlace;

  constructor(context: CausalContext, bytes: Buffer, start: number, before: () => CausalPlace) {
    this.context = context;
    this.#bytes = bytes;
    this.#start = start;
    this.#before = before;
  }

  get length(): number {
    return this.#bytes.readUInt32LE(this.#start + CAUSAL_BLOCK.length);
  }
  get origin(): Origin {
    return this.context.originOf(this.#bytes.readUInt16LE(this.#start + CAUSAL_BLOCK.origin));
  }
  get counter(): bigint {
    return this.#bytes.readBigUInt64LE(this.#start + CAUSAL_BLOCK.counter);
  }
  get events(): number {
    return this.#bytes.readUInt32LE(this.#start + CAUSAL_BLOCK.events);
  }
  get items(): number {
    return this.#start + CAUSAL_BLOCK.clock + CAUSAL_ROW_BYTES * this.#bytes.readUInt16LE(this.#start + CAUSAL_BLOCK.clockRows);
  }

  *#follows(): Generator<readonly [Origin, bigint]> {
    for (let at = this.#start + CAUSAL_BLOCK.clock; at < this.items; at += CAUSAL_ROW_BYTES) {
      yield [this.context.originOf(this.#bytes.readUInt16LE(at)), this.#bytes.readBigUInt64LE(at + 2)];
    }
  }

  /** What the entry follows, itself included. */
  get clock(): { readonly [actor: string]: string } {
    return Object.fromEntries(Array.from(this.rows(), ([{ name }, counter]) => [name, counter.toString()]));
  }

  *rows(): Generator<readonly [Origin, bigint]> {
    yield* this.#follows();
    yield [this.origin, this.counter];
  }

  /** Where a reader stands that has had everything up to an event of the entry. */
  after(offset: number): CausalPlace {
    const last = offset + 1 >= this.#bytes.readUInt32LE(this.#start + CAUSAL_BLOCK.entryEvents);
    // It has had all that the entry follows, also what a filter has left out.
    const before = this.#before().after(this.#follows());
    return last ? before.after([[this.origin, this.counter]]) : before.within(this.origin, this.counter, offset);
  }
}

export class CausalDelivery implements Delivery {
  readonly lane = 'causal';
  readonly group = 0;
  readonly redelivered = false;
  readonly fencingToken = null;
  readonly event: OrderedEvent;
  readonly #item: DeliveryItem;
  readonly #block: Block;

  constructor(item: DeliveryItem, event: OrderedEvent, block: Block) {
    this.#item = item;
    this.event = event;
    this.#block = block;
  }

  get cursor(): string {
    return this.#block.context.cursors.encodeCausal(this.#block.after(this.offset).encode());
  }
  get index(): bigint {
    return this.#item.u64(DELIVERY.index);
  }
  get offset(): number {
    return this.#item.u32(DELIVERY.offset);
  }
  get term(): bigint {
    return this.#item.u64(DELIVERY.term);
  }
  get level(): Level {
    return this.#item.level;
  }
  get clock(): { readonly [actor: string]: string } {
    return this.#block.clock;
  }
  get held(): boolean {
    return (this.#item.u8(DELIVERY.flags) & HEAD_ALONE) === 0;
  }
  /** Who has written the entry. */
  get origin(): Origin {
    return this.#block.origin;
  }
  /** What the entry follows, itself included: `clock` for whoever counts with it. */
  get rows(): Iterable<readonly [Origin, bigint]> {
    return this.#block.rows();
  }

  async ack(): Promise<void> {}

  toJSON(): JsonValue {
    const { cursor, index, offset, term, group, lane, level, redelivered, fencingToken, clock, held, event } = this;
    return jsonOf({ cursor, index, offset, term, group, lane, level, redelivered, fencingToken, clock: { ...clock }, held, event });
  }
}

/** Reads packed causal deliveries (docs/formats.md); iterating yields one `Delivery` an event, in happened-before order. */
export class CausalDeliveries implements Iterable<CausalDelivery> {
  /** Where reading goes on after these. */
  readonly next: CausalPlace;
  /** Entries of which there are events, and origins that the reader has moved in. */
  readonly blocks: number;
  readonly moved: number;
  readonly #bytes: Buffer;
  readonly #context: CausalContext;
  readonly #base: CausalPlace;

  /** Keeps `packed` without copying. `base`: where the reader stood before. Throws `INTERNAL` for bytes of another shape. */
  constructor(packed: Uint8Array, context: CausalContext, base: CausalPlace) {
    if (packed.length < CAUSAL.first) throw new CoordinatorError('INTERNAL', `${packed.length} bytes are no packed deliveries.`);
    this.#bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
    this.#context = context;
    this.#base = base;
    this.blocks = this.#bytes.readUInt32LE(CAUSAL.blocks);
    this.moved = this.#bytes.readUInt32LE(CAUSAL.moved);
    this.next = this.moved === 0 ? base : base.after(this.#rows());
  }

  *#rows(): Generator<readonly [Origin, bigint]> {
    for (let at = this.#bytes.length - this.moved * CAUSAL_ROW_BYTES; at < this.#bytes.length; at += CAUSAL_ROW_BYTES) {
      yield [this.#context.originOf(this.#bytes.readUInt16LE(at)), this.#bytes.readBigUInt64LE(at + 2)];
    }
  }

  *[Symbol.iterator](): Generator<CausalDelivery> {
    const had: (readonly [Origin, bigint])[] = [];
    let at: number = CAUSAL.first;
    for (let number = 0; number < this.blocks; number++) {
      const before = had.length;
      const block = new Block(this.#context, this.#bytes, at, () => this.#base.after(had.slice(0, before)));
      let item = block.items;
      for (let event = 0; event < block.events; event++) {
        const length = this.#bytes.readUInt32LE(item);
        if (length < DELIVERY.body || item + length > this.#bytes.length) throw new CoordinatorError('INTERNAL', `The bytes at ${item} are no packed delivery.`);
        const read = new DeliveryItem(this.#context, this.#bytes, item);
        yield new CausalDelivery(read, new DeliveredEvent(new RecordReader(this.#bytes, read.originEnd, item + length), read), block);
        item += length;
      }
      had.push([block.origin, block.counter]);
      at += block.length;
    }
  }
}
