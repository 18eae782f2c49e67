/** What is asked of the lanes: single deliveries, barriers, outcomes. */
import type { Delivery, EventInput, Level, Outcome, ReadOptions, Receipt, WaitOptions } from '../contracts/index.js';
import { checkTimeout, CoordinatorError } from '../errors/index.js';
import { type CursorCodec, parseUuid, type SubmissionWriter } from '../events/index.js';
import { type Core, type End, EVENT_OUTCOME } from '../native/index.js';
import type { CausalEvents, CausalPosition } from './causal-events.js';
import { groupOf } from './groups.js';
import type { Journal } from './journal.js';
import type { Places } from './places.js';
import type { Position } from './position.js';
import { type Ending, refusalOf } from './publisher.js';
import { OrderedReceipt } from './receipt.js';
import type { Requests } from './requests.js';
import type { Roster } from './roster.js';

export interface QueryPorts {
  readonly core: Pick<Core, 'barrier' | 'find' | 'submit'>;
  readonly requests: Requests;
  readonly journal: Pick<Journal, 'at' | 'kept'>;
  readonly causal: Pick<CausalEvents, 'find' | 'at' | 'fetch'>;
  readonly writer: SubmissionWriter;
  readonly cursors: CursorCodec;
  readonly places: Pick<Places, 'isOf' | 'loweredAt' | 'receiptOf' | 'told' | 'waitsFor'>;
  readonly roster: Pick<Roster, 'voters'>;
  readonly nodeId: string;
  readonly groups: number;
  readonly timeoutMs: number;
  /** Throws when the node takes nothing any more. */
  check(): void;
}

/** How often it is looked whether an entry has come that was asked for, and after which time it is asked for again. */
const POLL_MS = 10;
const ASK_AGAIN_MS = 1_000;

/** What a publish asks for, and how long it waits for a look-up. */
interface Asking {
  readonly level: Level;
  readonly rule: string | null;
  readonly timeoutMs: number;
}

/** Where an event stands. */
type Found = Position & { readonly term: bigint };

export class Queries {
  readonly #ports: QueryPorts;

  constructor(ports: QueryPorts) {
    this.#ports = ports;
  }

  async read(cursorOrEventId: string, options: ReadOptions): Promise<Delivery> {
    const { journal, cursors, groups } = this.#ports;
    const id = parseUuid(cursorOrEventId);
    let place: (Position & { group: number }) | null;
    if (id === null) {
      const cursor = cursors.decode(cursorOrEventId);
      place = { ...cursor, group: groupOf(cursor.group, groups) };
    } else {
      const group = groupOf(options.group, groups);
      const kept = await this.#kept(id);
      if (kept !== undefined) return kept;
      const found = await this.#find(group, id);
      place = found === null ? null : { ...found, group };
    }
    const delivery = place === null ? undefined : journal.at(place.group, place.index, place.offset);
    if (delivery === undefined) throw new CoordinatorError('NOT_FOUND', `${cursorOrEventId} is not in this node's journal`);
    return delivery;
  }

  /** An event of the causal lane, if this node has delivered it; whole, wherever it is held. */
  async #kept(id: Uint8Array): Promise<Delivery | undefined> {
    const { causal, requests, timeoutMs } = this.#ports;
    const found = await causal.find(id, timeoutMs);
    if (found === null) return undefined;
    const deadlineMs = requests.nowMs() + timeoutMs;
    for (let askAtMs = 0; ; ) {
      const delivery = causal.at(found, id);
      if (delivery === undefined || delivery.held) return delivery;
      const nowMs = requests.nowMs();
      if (nowMs >= deadlineMs) throw new CoordinatorError('NOT_HELD', `this node has the head of event ${delivery.event.id} alone, and nobody who holds it has given it within ${timeoutMs} ms`);
      if (nowMs >= askAtMs) {
        askAtMs = nowMs + ASK_AGAIN_MS;
        causal.fetch(found);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      this.#ports.check();
    }
  }

  async readBarrier(options: WaitOptions): Promise<bigint> {
    const { core, requests } = this.#ports;
    const group = groupOf(options.group, this.#ports.groups);
    const timeoutMs = checkTimeout(options.timeoutMs ?? this.#ports.timeoutMs);
    const end = await requests.make({ what: 'the read barrier', group, timeoutMs, signal: options.signal, reads: true }, (request) => core.barrier(request, group));
    return end.index;
  }

  async outcome(eventId: string, options: WaitOptions): Promise<Outcome> {
    const group = groupOf(options.group, this.#ports.groups);
    const id = parseUuid(eventId);
    if (id === null) throw new CoordinatorError('INVALID_EVENT_ID', `${JSON.stringify(eventId)} is not a UUID`);
    const { causal, places, timeoutMs } = this.#ports;
    const kept = await causal.find(id, timeoutMs);
    let place = await this.#find(group, id);
    if (place === null) {
      if (kept !== null) return { state: 'committed', receipt: places.told(kept, id) };
      // A fence would take the place that it is to have.
      if (places.waitsFor(eventId)) return { state: 'unknown' };
      const end = await this.#fence(group, id, options);
      if (end === null || end.count === 0) return { state: 'unknown' };
      if (end.count === 1) return { state: 'absent' };
      place = { index: end.index, offset: end.firstOffset, term: end.term };
    }
    return { state: 'committed', receipt: this.#receiptOf(group, place, id, kept) };
  }

  /** What an event that is published again has come to, where the group has it as far as it is applied here; null for any other. */
  async known(event: EventInput & { readonly id: string }, group: number, { level, rule, timeoutMs }: Asking): Promise<Ending | null> {
    const id = parseUuid(event.id);
    const place = id === null ? null : await this.#find(group, id, timeoutMs);
    if (id === null || place === null) return null;
    const delivery = this.#ports.journal.kept(group, place);
    if (delivery !== undefined && !this.#ports.places.isOf(delivery, event)) return refusalOf({ code: EVENT_OUTCOME.idReused, ...place }, event.id);
    const kept = delivery === undefined ? await this.#ports.causal.find(id, timeoutMs) : null;
    return this.#receiptOf(group, place, id, kept, { level, rule });
  }

  /** The ordered group that has an event of this id, as far as it is applied here; null where none does. */
  async groupOfId(id: Uint8Array): Promise<number | null> {
    for (let group = 0; group < this.#ports.groups; group++) if ((await this.#find(group, id)) !== null) return group;
    return null;
  }

  async #find(group: number, id: Uint8Array, timeoutMs = this.#ports.timeoutMs): Promise<Found | null> {
    const { core, requests } = this.#ports;
    const end = await requests.make({ what: 'the look-up of an event id', group, timeoutMs, reads: true }, (request) => core.find(request, group, id));
    return end.index === 0n ? null : { index: end.index, offset: end.firstOffset, term: end.term };
  }

  /** Null when the fence's own end is not known. */
  async #fence(group: number, id: Uint8Array, options: WaitOptions): Promise<End | null> {
    const { core, requests, writer, nodeId } = this.#ports;
    const header = { level: 'linearizable', origin: nodeId, group, session: null, firstSequence: 0n, acknowledgedThrough: 0n, hlc: 0n } as const;
    const bytes = writer.packFence(header, id);
    const timeoutMs = checkTimeout(options.timeoutMs ?? this.#ports.timeoutMs);
    try {
      return await requests.make({ what: 'the outcome', group, timeoutMs, signal: options.signal, bytes: bytes.length }, (request) => core.submit(request, bytes, 1));
    } catch (error) {
      if (error instanceof CoordinatorError && error.code === 'TIMEOUT') return null;
      throw error;
    }
  }

  /** `kept` is where the causal lane has it; `asked` is what a publish of the event asks for, that was committed before. */
  #receiptOf(group: number, found: Found, ids: Uint8Array, kept: CausalPosition | null, asked?: { readonly level: Level; readonly rule: string | null }): Receipt {
    const delivery = this.#ports.journal.kept(group, found);
    const first = delivery !== undefined ? this.#ports.places.receiptOf(delivery) : kept === null ? null : this.#ports.places.loweredAt(kept, ids);
    if (first !== null) return first;
    const durableMembers = Math.floor(this.#ports.roster.voters / 2) + 1;
    // What the journal has let go of says no level any more: the weakest of its lane is claimed (rule R2).
    const requestedLevel = asked?.level ?? delivery?.level ?? 'sequential';
    const batch = { cursors: this.#ports.cursors, requestedLevel, rule: asked?.rule ?? null, group, durableMembers, latencyUs: 0, ids };
    const { index, offset } = found;
    return new OrderedReceipt(batch, 0, { index, offset, term: delivery?.term ?? found.term, hlc: delivery?.event.hlc ?? 0n, duplicate: true }, 0);
  }
}
