import { type EventInput, LEVELS, type Level, LIMITS } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import type { Catalogue } from './catalogue.js';
import { GrowingBuffer } from './growing-buffer.js';
import { CONSUMER, FOLLOWING_VERSION, RECORD, SUBMISSION, SUBMISSION_KIND, SUBMISSION_VERSION } from './layout.js';
import { RecordWriter } from './record-writer.js';
import { type EventIds, UUID_BYTES } from './uuid.js';

/** The header fields that every kind of submission has. */
export interface SubmissionHeader {
  readonly level: Level;
  /** Node id of the member that takes the publish. */
  readonly origin: string;
  readonly group: number;
  /** 16 bytes, or null for a caller without a session. */
  readonly session: Uint8Array | null;
  /** Sequence of the first event, from 1; 0n without a session. */
  readonly firstSequence: bigint;
  /** Sequences up to and including this one have receipts. */
  readonly acknowledgedThrough: bigint;
  readonly hlc: bigint;
}

export interface EventsRequest extends SubmissionHeader {
  readonly events: readonly EventInput[];
  /**
   * Where refused events go, by their position in `events`; the others are packed without them.
   * When absent, the first refused event fails the whole batch.
   */
  readonly refusals?: Map<number, CoordinatorError>;
  /** What the events follow in the causal lane, as `CausalPlace.follows` has it; null for nothing. */
  readonly follows?: Uint8Array | null;
}

export interface ConsumerRequest extends SubmissionHeader {
  readonly name: string;
  readonly epoch: bigint;
  readonly index: bigint;
  readonly offset: number;
}

export interface PackedEvents {
  /** The submission. Valid until the writer's next use: hand it on, or copy it. */
  readonly bytes: Uint8Array;
  /** Events in it: all but the refused ones, in their order. */
  readonly count: number;
  /** Their ids, 16 bytes each, in a buffer of their own; `formatUuid(ids, 16 * i)` is the text. */
  readonly ids: Uint8Array;
}

const INITIAL_BYTES = 64 * 1024;
/** A buffer that one large batch has grown is given back beyond this size. */
const KEPT_BYTES = 1024 * 1024;

/** Packs submissions (docs/formats.md, "Submission") into one buffer that is used again and again. */
export class SubmissionWriter {
  readonly #catalogue: Catalogue;
  readonly #ids: EventIds;
  #out: GrowingBuffer;
  #records: RecordWriter;
  /** Bytes of the last origin, which hardly ever changes. */
  #origin = { name: '', bytes: Buffer.alloc(0) };

  constructor(catalogue: Catalogue, ids: EventIds) {
    this.#catalogue = catalogue;
    this.#ids = ids;
    this.#out = new GrowingBuffer(INITIAL_BYTES);
    this.#records = new RecordWriter(catalogue, ids, this.#out);
  }

  /**
   * Packs events. Every event is checked whole, and a batch with a bad one leaves nothing behind (but see `refusals`).
   * @throws CoordinatorError of the first mistake; `details` has `event` (position from 0), `field` and, for sizes, `limit`.
   */
  packEvents(request: EventsRequest): PackedEvents {
    const { events, refusals } = request;
    if (events.length > LIMITS.batchEventsMax) {
      throw new CoordinatorError('BATCH_TOO_LARGE', `The batch has ${events.length} events; at most ${LIMITS.batchEventsMax} are allowed.`, {
        details: { field: 'events', limit: LIMITS.batchEventsMax },
      });
    }
    this.#shrink();
    const body = this.#follows(request.follows ?? null, this.#header(request));
    const ids = new Uint8Array(events.length * UUID_BYTES);
    let at = body;
    let count = 0;
    for (let event = 0; event < events.length; event++) {
      let next: number;
      try {
        next = this.#records.write(events[event] as EventInput, at, { event, of: events.length });
      } catch (thrown) {
        if (refusals === undefined || !(thrown instanceof CoordinatorError)) throw thrown;
        refusals.set(event, thrown);
        continue;
      }
      if (next - body > LIMITS.batchBytesMax) {
        throw new CoordinatorError('BATCH_TOO_LARGE', `The batch packs to more than ${LIMITS.batchBytesMax} bytes from event ${event} on; publish it in parts.`, {
          details: { event, field: 'events', limit: LIMITS.batchBytesMax },
        });
      }
      const { bytes } = this.#out;
      for (let byte = 0; byte < UUID_BYTES; byte++) ids[count * UUID_BYTES + byte] = bytes[at + RECORD.id + byte] as number;
      count += 1;
      at = next;
    }
    const bytes = this.#finish(SUBMISSION_KIND.events, count, at);
    return { bytes, count, ids: count === events.length ? ids : ids.subarray(0, count * UUID_BYTES) };
  }

  /** Packs the statement that `count` sequences of the session will never come. */
  packSkip(header: SubmissionHeader, count: number): Uint8Array {
    return this.#finish(SUBMISSION_KIND.skip, count, this.#header(header));
  }

  /** Packs a fence: once it is committed, the event id can no longer be. */
  packFence(header: SubmissionHeader, eventId: Uint8Array): Uint8Array {
    const at = this.#header(header);
    this.#out.ensure(at, UUID_BYTES);
    this.#out.bytes.set(eventId.subarray(0, UUID_BYTES), at);
    return this.#finish(SUBMISSION_KIND.fence, 1, at + UUID_BYTES);
  }

  /** Packs an operation on a named consumer. Throws `FILTER_INVALID` for a name that is empty or over 256 bytes. */
  packConsumer(kind: 'consumerAttach' | 'consumerClaim' | 'consumerAcknowledge', request: ConsumerRequest): Uint8Array {
    const nameBytes = Buffer.byteLength(request.name);
    if (nameBytes === 0 || nameBytes > LIMITS.consumerNameBytesMax) {
      throw new CoordinatorError('FILTER_INVALID', `The consumer's name is ${nameBytes} bytes; 1 to ${LIMITS.consumerNameBytesMax} are allowed.`, {
        details: { field: 'consumer', limit: LIMITS.consumerNameBytesMax },
      });
    }
    const at = this.#header(request);
    this.#out.ensure(at, CONSUMER.name + nameBytes);
    const { bytes, view } = this.#out;
    view.setBigUint64(at + CONSUMER.epoch, request.epoch, true);
    view.setBigUint64(at + CONSUMER.index, request.index, true);
    view.setUint32(at + CONSUMER.offset, request.offset, true);
    view.setUint32(at + CONSUMER.reserved, 0, true);
    bytes.write(request.name, at + CONSUMER.name);
    return this.#finish(SUBMISSION_KIND[kind], 1, at + CONSUMER.name + nameBytes);
  }

  /** Writes all of the header but kind, count and length; returns where the body begins. */
  #header(header: SubmissionHeader): number {
    if (header.origin !== this.#origin.name) this.#origin = { name: header.origin, bytes: Buffer.from(header.origin, 'utf8') };
    const origin = this.#origin.bytes;
    const { bytes, view } = this.#out;
    bytes[SUBMISSION.version] = SUBMISSION_VERSION;
    bytes[SUBMISSION.level] = LEVELS.indexOf(header.level);
    bytes[SUBMISSION.originBytes] = origin.length;
    view.setUint32(SUBMISSION.group, header.group, true);
    if (header.session === null) bytes.fill(0, SUBMISSION.session, SUBMISSION.session + UUID_BYTES);
    else bytes.set(header.session.subarray(0, UUID_BYTES), SUBMISSION.session);
    view.setBigUint64(SUBMISSION.firstSequence, header.firstSequence, true);
    view.setBigUint64(SUBMISSION.acknowledgedThrough, header.acknowledgedThrough, true);
    // The core stamps these two when it takes the submission.
    view.setBigUint64(SUBMISSION.originMember, 0n, true);
    view.setBigUint64(SUBMISSION.request, 0n, true);
    view.setBigUint64(SUBMISSION.hlc, header.hlc, true);
    bytes.set(origin, SUBMISSION.body);
    return SUBMISSION.body + origin.length;
  }

  /** Writes what the events follow; returns where they begin. */
  #follows(follows: Uint8Array | null, at: number): number {
    if (follows === null) return at;
    this.#out.ensure(at, follows.length);
    this.#out.bytes[SUBMISSION.version] = FOLLOWING_VERSION;
    this.#out.bytes.set(follows, at);
    return at + follows.length;
  }

  #finish(kind: number, count: number, end: number): Uint8Array {
    const { bytes, view } = this.#out;
    bytes[SUBMISSION.kind] = kind;
    view.setUint32(SUBMISSION.length, end, true);
    view.setUint32(SUBMISSION.count, count, true);
    return bytes.subarray(0, end);
  }

  #shrink(): void {
    if (this.#out.bytes.length <= KEPT_BYTES) return;
    this.#out = new GrowingBuffer(INITIAL_BYTES);
    this.#records = new RecordWriter(this.#catalogue, this.#ids, this.#out);
  }
}
