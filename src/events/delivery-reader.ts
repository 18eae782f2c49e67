import { type Delivery, type JsonValue, LEVELS, type Level, type OrderedEvent } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import type { Catalogue } from './catalogue.js';
import type { CursorCodec } from './cursor.js';
import { jsonOf } from './json.js';
import { DELIVERIES, DELIVERY, WAITS } from './layout.js';
import { RecordReader } from './record-reader.js';
import { formatUuid, UUID_BYTES } from './uuid.js';

/** What the deliveries of one subscription share. */
export interface DeliveryContext {
  readonly catalogue: Catalogue;
  readonly cursors: CursorCodec;
  readonly group: number;
  /** The named consumer, or null for a subscription without one. */
  readonly consumer: {
    readonly fencingToken: bigint;
    /** Whether this consumer may have seen the event before. */
    isRedelivered(index: bigint, offset: number): boolean;
    ack(index: bigint, offset: number): Promise<void>;
  } | null;
}

/**
 * An event as it was delivered, decoded field by field when asked for. The fields are accessors, so `{ ...event }` copies
 * nothing; `JSON.stringify` and `toJSON` give them all. `payload` is a view into the bytes the core delivered.
 */
export class DeliveredEvent implements OrderedEvent {
  readonly #record: RecordReader;
  readonly #item: DeliveryItem;

  constructor(record: RecordReader, item: DeliveryItem) {
    this.#record = record;
    this.#item = item;
  }

  get id(): string {
    return this.#record.id;
  }
  get type(): string {
    return this.#item.context.catalogue.nameOf(this.#record.code);
  }
  get code(): number {
    return this.#record.code;
  }
  get origin(): string {
    return this.#item.origin;
  }
  get session(): string | null {
    return this.#item.session;
  }
  get sequence(): bigint {
    return this.#item.u64(DELIVERY.sequence);
  }
  get path(): string | null {
    return this.#record.path;
  }
  get to(): string | null {
    return this.#record.to;
  }
  get payload(): Uint8Array {
    return this.#record.payload;
  }
  get metadata(): JsonValue | null {
    return this.#record.metadata;
  }
  get priority(): number {
    return this.#record.priority;
  }
  get flags(): number {
    return this.#record.flags;
  }
  get sourceId(): bigint | null {
    return this.#record.sourceId;
  }
  get context(): JsonValue | null {
    return this.#record.context;
  }
  get hlc(): bigint {
    return this.#item.u64(DELIVERY.hlc);
  }

  toJSON(): JsonValue {
    const { id, type, code, origin, session, sequence, path, to, payload, metadata, priority, flags, sourceId, context, hlc } = this;
    return jsonOf({ id, type, code, origin, session, sequence, path, to, payload, metadata, priority, flags, sourceId, context, hlc });
  }
}

/** The item of the packed form that a delivery stands on. */
export class DeliveryItem {
  readonly context: DeliveryContext;
  readonly #bytes: Buffer;
  readonly #start: number;

  constructor(context: DeliveryContext, bytes: Buffer, start: number) {
    this.context = context;
    this.#bytes = bytes;
    this.#start = start;
  }

  u64(field: number): bigint {
    return this.#bytes.readBigUInt64LE(this.#start + field);
  }
  u8(field: number): number {
    return this.#bytes.readUInt8(this.#start + field);
  }
  u32(field: number): number {
    return this.#bytes.readUInt32LE(this.#start + field);
  }
  get level(): Level {
    return LEVELS[this.#bytes[this.#start + DELIVERY.level] as number] ?? 'sequential';
  }
  get originEnd(): number {
    return this.#start + DELIVERY.body + (this.#bytes[this.#start + DELIVERY.originBytes] as number);
  }
  get origin(): string {
    return this.#bytes.toString('utf8', this.#start + DELIVERY.body, this.originEnd);
  }
  get session(): string | null {
    const at = this.#start + DELIVERY.session;
    for (let byte = 0; byte < UUID_BYTES; byte++) if (this.#bytes[at + byte] !== 0) return formatUuid(this.#bytes, at);
    return null;
  }
}

class PackedDelivery implements Delivery {
  readonly lane = 'ordered';
  readonly clock = null;
  readonly event: OrderedEvent;
  readonly #item: DeliveryItem;

  constructor(item: DeliveryItem, event: OrderedEvent) {
    this.#item = item;
    this.event = event;
  }

  get cursor(): string {
    const { group, index, offset } = this;
    return this.#item.context.cursors.encode({ group, index, offset });
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
  get group(): number {
    return this.#item.context.group;
  }
  get level(): Level {
    return this.#item.level;
  }
  get redelivered(): boolean {
    return this.#item.context.consumer?.isRedelivered(this.index, this.offset) ?? false;
  }
  readonly held = true;
  get fencingToken(): bigint | null {
    return this.#item.context.consumer?.fencingToken ?? null;
  }

  async ack(): Promise<void> {
    await this.#item.context.consumer?.ack(this.index, this.offset);
  }

  toJSON(): JsonValue {
    const { cursor, index, offset, term, group, lane, level, redelivered, fencingToken, clock, held, event } = this;
    return jsonOf({ cursor, index, offset, term, group, lane, level, redelivered, fencingToken, clock, held, event });
  }
}

/** Reads packed deliveries (docs/formats.md, "Packed deliveries"); iterating yields one `Delivery` an event. */
export class DeliveryReader implements Iterable<Delivery> {
  /** Where reading goes on after these. */
  readonly nextIndex: bigint;
  readonly nextOffset: number;
  readonly count: number;
  /** Applied index of this node when the deliveries were packed. */
  readonly appliedIndex: bigint;
  /** What comes next follows something that is not delivered here in the causal lane. */
  readonly waits: boolean;
  readonly #bytes: Buffer;
  readonly #context: DeliveryContext;

  /** Keeps `packed` without copying: it must not change afterwards. Throws `INTERNAL` for bytes of another shape. */
  constructor(packed: Uint8Array, context: DeliveryContext) {
    if (packed.length < DELIVERIES.items) throw new CoordinatorError('INTERNAL', `${packed.length} bytes are no packed deliveries.`);
    this.#bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
    this.#context = context;
    this.nextIndex = this.#bytes.readBigUInt64LE(DELIVERIES.nextIndex);
    this.nextOffset = this.#bytes.readUInt32LE(DELIVERIES.nextOffset);
    this.count = this.#bytes.readUInt32LE(DELIVERIES.count);
    this.appliedIndex = this.#bytes.readBigUInt64LE(DELIVERIES.appliedIndex);
    this.waits = (this.#bytes.readUInt32LE(DELIVERIES.flags) & WAITS) !== 0;
  }

  *[Symbol.iterator](): Generator<Delivery> {
    let at: number = DELIVERIES.items;
    for (let place = 0; place < this.count; place++) {
      const length = at + DELIVERY.body <= this.#bytes.length ? this.#bytes.readUInt32LE(at) : 0;
      if (length < DELIVERY.body || at + length > this.#bytes.length) {
        throw new CoordinatorError('INTERNAL', `The bytes at ${at} are no packed delivery.`);
      }
      const item = new DeliveryItem(this.#context, this.#bytes, at);
      const event = new DeliveredEvent(new RecordReader(this.#bytes, item.originEnd, at + length), item);
      yield new PackedDelivery(item, event);
      at += length;
    }
  }
}
