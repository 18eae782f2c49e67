/** Publishes of the causal lane: written to this node's own log, acknowledged when that is on disk here, quorum or not. What the lane has already is told where it stands (rule R3). */
import { inspect } from 'node:util';
import type { CausalLevel, EventInput, Lane, Level, PublishOptions, Receipt } from '../contracts/index.js';
import { checkTimeout, CoordinatorError } from '../errors/index.js';
import { CausalPlace, type CursorCodec, formatUuid, type SubmissionWriter } from '../events/index.js';
import { CAUSAL_GROUP, type Core, END, type End, EVENT_OUTCOME } from '../native/index.js';
import { Admission } from './admission.js';
import type { CausalEvents, CausalPosition } from './causal-events.js';
import type { Origins } from './origins.js';
import { type Ending, refusalOf } from './publisher.js';
import { fieldsOf, jsonOfReceipt } from './receipt.js';
import type { Requests } from './requests.js';

export interface CausalPublisherPorts {
  readonly core: Pick<Core, 'publish'>;
  readonly requests: Requests;
  readonly writer: SubmissionWriter;
  readonly cursors: CursorCodec;
  readonly origins: Origins;
  readonly events: Pick<CausalEvents, 'kept'>;
  readonly nodeId: string;
  readonly pendingBytesMax: number;
  readonly timeoutMs: number;
}

/** What receipts say besides what was achieved. */
export interface Said {
  readonly requestedLevel: Level;
  readonly degraded: boolean;
  readonly rule: string | null;
}

export class CausalPublisher {
  readonly #ports: CausalPublisherPorts;
  readonly #admission: Admission;

  constructor(ports: CausalPublisherPorts) {
    this.#ports = ports;
    const { requests, pendingBytesMax: bytesMax } = ports;
    this.#admission = new Admission({ groups: 1, groupSharePercentage: 100, bytesMax, bytes: () => requests.bytes, bytesOf: () => requests.bytesOf(CAUSAL_GROUP) });
    requests.onRoom(() => this.#admission.admit());
  }

  /** What comes back stands in the order of `events`. With `each`, a refused event is an error in its place; without it, the first one rejects. */
  async publish(events: readonly EventInput[], level: CausalLevel, options: PublishOptions, each: boolean, said: Said): Promise<Ending[]> {
    if (events.length === 0) return [];
    const { requests, writer, core, nodeId } = this.#ports;
    let timeoutMs = checkTimeout(options.timeoutMs ?? this.#ports.timeoutMs);
    const sinceMs = requests.nowMs();
    if (this.#admission.waits(0)) await this.#admission.turn(0, options.signal, timeoutMs);
    timeoutMs = Math.max(1, timeoutMs - (requests.nowMs() - sinceMs));
    const refusals = each ? new Map<number, CoordinatorError>() : undefined;
    let ended: Promise<End> | null = null;
    let ids: Uint8Array = new Uint8Array();
    let taken = 0;
    try {
      const header = { level, origin: nodeId, group: 0, session: null, firstSequence: 0n, acknowledgedThrough: 0n, hlc: 0n };
      const packed = writer.packEvents({ ...header, events, ...(refusals === undefined ? {} : { refusals }) });
      ({ ids, count: taken } = packed);
      const what = taken === 1 ? 'the publish' : `the batch of ${taken} events`;
      if (taken > 0) {
        ended = requests.make({ what, group: CAUSAL_GROUP, timeoutMs, signal: options.signal, bytes: packed.bytes.length }, (request) => core.publish(request, packed.bytes));
      }
    } finally {
      this.#admission.entered();
    }
    const end = await ended;
    const endings = end === null ? [] : this.#endings(end, level, said, ids, taken);
    if (refusals === undefined || refusals.size === 0) return endings;
    let next = 0;
    return events.map((_, position) => refusals.get(position) ?? (endings[next++] as Ending));
  }

  #endings(end: End, level: CausalLevel, said: Said, ids: Uint8Array, count: number): Ending[] {
    const { index, term, hlc, firstOffset, durableMembers, latencyUs } = end;
    const batch: Batch = { ports: this.#ports, said, durableMembers, latencyUs, ids };
    // Read when somebody asks for a clock: most never do.
    let read: Kept | undefined;
    const kept = () => {
      read ??= end.kept;
      return read;
    };
    const fresh = { index, term, kept, level, duplicate: false };
    if (end.kind === END.kept) {
      return Array.from({ length: count }, (_, position) => new CausalReceipt(batch, position, { ...fresh, offset: firstOffset + position, hlc: hlc + BigInt(position) }));
    }
    return end.keptEvents.map((event, position) => {
      if (event.code === EVENT_OUTCOME.accepted) return new CausalReceipt(batch, position, { ...fresh, offset: event.offset, hlc: event.hlc });
      const id = ids.subarray(position * 16, position * 16 + 16);
      if (event.code !== EVENT_OUTCOME.duplicate) return refusalOf(event, formatUuid(id));
      try {
        return this.#first(event, batch, position, id);
      } catch (error) {
        if (!(error instanceof CoordinatorError)) throw error;
        return new CoordinatorError(error.code, `event ${formatUuid(id)} was published before, as entry ${event.index} of ${event.actor}: ${error.message}`, { committed: 'yes', cause: error });
      }
    });
  }

  /** The receipt of an event that was published before. Throws `LOG_DAMAGED` and `CURSOR_COMPACTED`. */
  receiptOf({ actor, index, offset }: CausalPosition, id: Uint8Array): Receipt {
    return this.#first({ actor, index, offset }, { ports: this.#ports, durableMembers: 1, latencyUs: 0, ids: id }, 0, id);
  }

  #first({ actor, index, offset }: CausalPosition, batch: Batch, position: number, id: Uint8Array): Receipt {
    const delivery = this.#ports.events.kept({ actor, index, offset }, id);
    // Where another place of the event comes first, or its log has let go of it, what its entry says is not shown: where it stands is known.
    const clock = new Map(Object.entries(delivery?.clock ?? { [actor]: index }).map(([name, counter]) => [name, BigInt(counter)]));
    const eventual = batch.said?.requestedLevel === 'eventual' || delivery?.level !== 'causal';
    const term = BigInt(this.#ports.origins.named(actor).incarnation);
    return new CausalReceipt(batch, position, { index, offset, term, kept: () => ({ actor, clock }), hlc: delivery?.event.hlc ?? 0n, level: eventual ? 'eventual' : 'causal', duplicate: true });
  }

  /** Lets everything that waits for room go on, to fail there: the node closes. */
  release(): void {
    this.#admission.release();
  }
}

/** Who wrote an entry, and what it follows, itself included. */
type Kept = End['kept'];

/** What all receipts of one end share. */
interface Batch {
  readonly ports: CausalPublisherPorts;
  /** None where nobody has just asked for one. */
  readonly said?: Said;
  readonly durableMembers: number;
  readonly latencyUs: number;
  /** The events' ids, 16 bytes each. */
  readonly ids: Uint8Array;
}

/** Where one event stands. */
interface Place {
  readonly index: bigint;
  readonly offset: number;
  readonly term: bigint;
  readonly hlc: bigint;
  readonly level: CausalLevel;
  readonly duplicate: boolean;
  kept(): Kept;
}

/** Fields that cost something are computed when asked for; JSON and inspection show them all. */
class CausalReceipt implements Receipt {
  readonly #batch: Batch;
  readonly #position: number;
  readonly #place: Place;

  constructor(batch: Batch, position: number, place: Place) {
    this.#batch = batch;
    this.#position = position;
    this.#place = place;
  }

  get eventId(): string {
    return formatUuid(this.#batch.ids, this.#position * 16);
  }
  get level(): Level {
    return this.#place.level;
  }
  get requestedLevel(): Level {
    return this.#batch.said?.requestedLevel ?? this.level;
  }
  get lane(): Lane {
    return 'causal';
  }
  get group(): number {
    return 0;
  }
  get index(): bigint {
    return this.#place.index;
  }
  get offset(): number {
    return this.#place.offset;
  }
  get term(): bigint {
    return this.#place.term;
  }
  /** Who has written it, as clocks spell it. */
  get actor(): string {
    return this.#place.kept().actor;
  }
  /** After the event and all that it follows. */
  get cursor(): string {
    const { cursors, origins } = this.#batch.ports;
    const { actor, clock } = this.#place.kept();
    const followed = [...clock].filter(([name]) => name !== actor).map(([name, counter]) => [origins.named(name), counter] as const);
    return cursors.encodeCausal(CausalPlace.first.after(followed).within(origins.named(actor), this.index, this.offset).encode());
  }
  get durableMembers(): number {
    return this.#batch.durableMembers;
  }
  get clock(): { readonly [actor: string]: string } {
    return Object.fromEntries([...this.#place.kept().clock].map(([name, counter]) => [name, counter.toString()]));
  }
  get hlc(): bigint {
    return this.#place.hlc;
  }
  get degraded(): boolean {
    return this.#batch.said?.degraded ?? false;
  }
  get rule(): string | null {
    return this.#batch.said?.rule ?? null;
  }
  get certificate(): null {
    return null;
  }
  get duplicate(): boolean {
    return this.#place.duplicate;
  }
  get latencyUs(): number {
    return this.#batch.latencyUs;
  }

  toJSON(): Record<string, unknown> {
    return jsonOfReceipt(this);
  }

  [inspect.custom](): Receipt {
    return fieldsOf(this);
  }
}
