/** Publishes of the causal lane: written to this node's own log, acknowledged when that is on disk here, quorum or not. */
import { inspect } from 'node:util';
import type { CausalLevel, EventInput, Lane, Level, PublishOptions, Receipt } from '../contracts/index.js';
import type { CoordinatorError } from '../errors/index.js';
import { CausalPlace, type CursorCodec, formatUuid, type SubmissionWriter } from '../events/index.js';
import { CAUSAL_GROUP, type Core, type End } from '../native/index.js';
import { Admission } from './admission.js';
import type { Origins } from './origins.js';
import type { Ending } from './publisher.js';
import { fieldsOf, jsonOfReceipt } from './receipt.js';
import { checkTimeout, type Requests } from './requests.js';

export interface CausalPublisherPorts {
  readonly core: Pick<Core, 'publish'>;
  readonly requests: Requests;
  readonly writer: SubmissionWriter;
  readonly cursors: CursorCodec;
  readonly origins: Origins;
  readonly nodeId: string;
  readonly pendingBytesMax: number;
  readonly timeoutMs: number;
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
  async publish(events: readonly EventInput[], level: CausalLevel, options: PublishOptions, each: boolean): Promise<Ending[]> {
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
    const endings = end === null ? [] : Array.from({ length: taken }, (_, position) => new CausalReceipt(this.#ports, end, level, ids, position));
    if (refusals === undefined || refusals.size === 0) return endings;
    let next = 0;
    return events.map((_, position) => refusals.get(position) ?? (endings[next++] as Ending));
  }

  /** Lets everything that waits for room go on, to fail there: the node closes. */
  release(): void {
    this.#admission.release();
  }
}

/** Fields that cost something are computed when asked for; JSON and inspection show them all. */
class CausalReceipt implements Receipt {
  readonly #ports: CausalPublisherPorts;
  readonly #end: End;
  readonly #level: CausalLevel;
  readonly #ids: Uint8Array;
  readonly #position: number;

  constructor(ports: CausalPublisherPorts, end: End, level: CausalLevel, ids: Uint8Array, position: number) {
    this.#ports = ports;
    this.#end = end;
    this.#level = level;
    this.#ids = ids;
    this.#position = position;
  }

  get eventId(): string {
    return formatUuid(this.#ids, this.#position * 16);
  }
  get level(): Level {
    return this.#level;
  }
  get requestedLevel(): Level {
    return this.#level;
  }
  get lane(): Lane {
    return 'causal';
  }
  get group(): number {
    return 0;
  }
  get index(): bigint {
    return this.#end.index;
  }
  get offset(): number {
    return this.#end.firstOffset + this.#position;
  }
  get term(): bigint {
    return this.#end.term;
  }
  /** After the event and all that it follows. */
  get cursor(): string {
    const { cursors, origins } = this.#ports;
    const { actor, clock } = this.#end.kept;
    const followed = [...clock].filter(([name]) => name !== actor).map(([name, counter]) => [origins.named(name), counter] as const);
    return cursors.encodeCausal(CausalPlace.first.after(followed).within(origins.named(actor), this.index, this.offset).encode());
  }
  get durableMembers(): number {
    return this.#end.durableMembers;
  }
  get clock(): { readonly [actor: string]: string } {
    return Object.fromEntries([...this.#end.kept.clock].map(([name, counter]) => [name, counter.toString()]));
  }
  get hlc(): bigint {
    return this.#end.hlc + BigInt(this.#position);
  }
  get degraded(): boolean {
    return false;
  }
  get rule(): null {
    return null;
  }
  get certificate(): null {
    return null;
  }
  get duplicate(): boolean {
    return false;
  }
  get latencyUs(): number {
    return this.#end.latencyUs;
  }

  toJSON(): Record<string, unknown> {
    return jsonOfReceipt(this);
  }

  [inspect.custom](): Receipt {
    return fieldsOf(this);
  }
}
