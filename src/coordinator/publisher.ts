/** From events to receipts: packs, hands in, waits for room where too much waits already, and reads how it ended. */
import type { Decision } from '../consistency/index.js';
import type { EventInput, OrderedLevel, PublishOptions, Receipt } from '../contracts/index.js';
import { checkTimeout, CoordinatorError, type ErrorCode } from '../errors/index.js';
import { CausalPlace, type CursorCodec, formatUuid, type PackedEvents, type SubmissionWriter } from '../events/index.js';
import { type Core, END, type End, EVENT_OUTCOME, type EventOutcome } from '../native/index.js';
import { Admission } from './admission.js';
import { groupOf } from './groups.js';
import { OrderedReceipt, type Place, type ReceiptBatch } from './receipt.js';
import type { Requests } from './requests.js';
import type { SessionState } from './session.js';

export interface PublisherOptions {
  readonly nodeId: string;
  /** Ordered groups, from 0 on. */
  readonly groups: number;
  /** Voters of the cluster as it is now. */
  voters(): number;
  readonly pendingBytesMax: number;
  readonly groupSharePercentage: number;
  readonly timeoutMs: number;
}

/** What an event came to: its receipt, or why it has none. */
export type Ending = Receipt | CoordinatorError;

/** A level of the ordered lane and how it was chosen; what the publish says itself goes before it. */
export type Choice = Pick<Decision, 'rule' | 'quorumSize' | 'timeoutMs'> & { readonly level: OrderedLevel };

/** Where a batch goes and what it asks for. */
interface Target {
  readonly level: OrderedLevel;
  readonly rule: string | null;
  readonly quorum: number;
  readonly group: number;
  readonly session: SessionState | null;
  /** What the events follow in the causal lane. */
  readonly follows: Uint8Array | null;
}

/** Finds the term and clock of an event that the journal has. */
export type Lookup = (group: number, index: bigint, offset: number) => { term: bigint; hlc: bigint };

export class Publisher {
  readonly #core: Pick<Core, 'submit'>;
  readonly #requests: Requests;
  readonly #writer: SubmissionWriter;
  readonly #cursors: CursorCodec;
  readonly #options: PublisherOptions;
  readonly #lookup: Lookup;
  readonly #admission: Admission;

  constructor(core: Pick<Core, 'submit'>, requests: Requests, writer: SubmissionWriter, cursors: CursorCodec, options: PublisherOptions, lookup: Lookup) {
    this.#core = core;
    this.#requests = requests;
    this.#writer = writer;
    this.#cursors = cursors;
    this.#options = options;
    this.#lookup = lookup;
    const { groups, groupSharePercentage, pendingBytesMax: bytesMax } = options;
    this.#admission = new Admission({ groups, groupSharePercentage, bytesMax, bytes: () => requests.bytes, bytesOf: (group) => requests.bytesOf(group) });
    requests.onRoom(() => this.#admission.admit());
  }

  /**
   * Publishes a batch; what comes back stands in the order of `events`.
   * With `each`, a refused event is an error in its place; without it, the first one rejects.
   */
  async publish(events: readonly EventInput[], choice: Choice, options: PublishOptions, session: SessionState | null, each: boolean): Promise<Ending[]> {
    const { level, rule } = choice;
    const quorum = this.#quorumOf(level, options.quorumSize ?? choice.quorumSize);
    const target: Target = { level, rule, quorum, group: groupOf(options.group, this.#options.groups), session, follows: this.#follows(options.after, session) };
    if (events.length === 0) return [];
    let timeoutMs = checkTimeout(options.timeoutMs ?? choice.timeoutMs ?? this.#options.timeoutMs);
    if (this.#admission.waits(target.group)) {
      const sinceMs = this.#requests.nowMs();
      await this.#admission.turn(target.group, options.signal, timeoutMs);
      timeoutMs = Math.max(0, timeoutMs - (this.#requests.nowMs() - sinceMs));
    }

    let ended: Promise<Ending[]> | null = null;
    const refusals = each ? new Map<number, CoordinatorError>() : undefined;
    try {
      const packed = this.#pack(events, target, refusals);
      if (packed.count > 0) ended = this.#submit(packed, target, { timeoutMs, signal: options.signal });
    } finally {
      this.#admission.entered();
    }
    const endings = (await ended) ?? [];
    if (refusals === undefined || refusals.size === 0) return endings;
    let next = 0;
    return events.map((_, position) => refusals.get(position) ?? (endings[next++] as Ending));
  }

  /** What a publish names, and what its session has written in the causal lane. Throws `CURSOR_INVALID` and `USAGE`. */
  #follows(after: string | undefined, session: SessionState | null): Uint8Array | null {
    const placeOf = (cursor: string | undefined): CausalPlace => {
      const place = cursor === undefined ? CausalPlace.first.encode() : this.#cursors.decodeCausal(cursor);
      if (place === null) throw new CoordinatorError('CURSOR_INVALID', 'the cursor is of the ordered lane, and an event follows what was before it there anyway; `after` takes one of the causal lane');
      return CausalPlace.read(place);
    };
    const written = (last: Receipt | null, before: string | undefined) => placeOf(last?.cursor).with(placeOf(before));
    if (after === undefined) return session?.follows((last, before) => written(last, before).follows()) ?? null;
    return placeOf(after).with(session === null ? CausalPlace.first : written(session.last, session.after)).follows();
  }

  #pack(events: readonly EventInput[], { level, group, session, follows }: Target, refusals: Map<number, CoordinatorError> | undefined): PackedEvents {
    const sequences = session?.in(group);
    return this.#writer.packEvents({
      level,
      origin: this.#options.nodeId,
      group,
      session: session?.bytes ?? null,
      firstSequence: sequences?.next ?? 0n,
      acknowledgedThrough: sequences?.acknowledged ?? 0n,
      hlc: 0n,
      events,
      follows,
      ...(refusals === undefined ? {} : { refusals }),
    });
  }

  async #submit(packed: PackedEvents, target: Target, wait: { timeoutMs: number; signal: AbortSignal | undefined }): Promise<Ending[]> {
    const { bytes, count, ids } = packed;
    const what = count === 1 ? 'the publish' : `the batch of ${count} events`;
    const { level: requestedLevel, rule, group } = target;
    const sequences = target.session?.in(group);
    const first = sequences?.next ?? 0n;
    const ended = this.#requests.make({ what, group, ...wait, bytes: bytes.length, follows: target.follows !== null }, (request) => {
      const taken = this.#core.submit(request, bytes, target.quorum);
      // Sequences are used up by what was taken, and by nothing else: a gap would hold the session up.
      if (taken === 0) sequences?.take(count);
      return taken;
    });
    const end = await ended;
    sequences?.acknowledge(first + BigInt(count) - 1n);
    return this.#endings(end, { cursors: this.#cursors, requestedLevel, rule, group, durableMembers: end.durableMembers, latencyUs: end.latencyUs, ids });
  }

  #endings(end: End, batch: ReceiptBatch): Ending[] {
    const { index, term, hlc, count } = end;
    if (end.kind === END.accepted) {
      const place: Place = { index, term, hlc, offset: end.firstOffset, duplicate: false };
      return Array.from({ length: count }, (_, position) => new OrderedReceipt(batch, position, place, position));
    }
    return Array.from({ length: count }, (_, position) => {
      const outcome = end.outcome(position);
      if (outcome.code === EVENT_OUTCOME.accepted) {
        return new OrderedReceipt(batch, position, { index, term, hlc: hlc + BigInt(position), offset: outcome.offset, duplicate: false }, 0);
      }
      if (outcome.code === EVENT_OUTCOME.duplicate) {
        const known = this.#lookup(batch.group, outcome.index, outcome.offset);
        return new OrderedReceipt(batch, position, { index: outcome.index, offset: outcome.offset, ...known, duplicate: true }, 0);
      }
      return refusalOf(outcome, formatUuid(batch.ids, position * 16));
    });
  }

  #quorumOf(level: OrderedLevel, asked: number | 'all' | undefined): number {
    if (level !== 'strong') return 1;
    const voters = this.#options.voters();
    const quorum = asked === 'all' ? voters : (asked ?? Math.floor(voters / 2) + 1);
    if (!Number.isInteger(quorum) || quorum < 1 || quorum > voters) {
      throw new CoordinatorError('LEVEL_UNAVAILABLE', `quorumSize ${asked} cannot be reached; allowed are 1 to ${voters} and "all"`);
    }
    return quorum;
  }

  /** Lets everything that waits for room go on, to fail there: the node closes. */
  release(): void {
    this.#admission.release();
  }
}

/** The error of an event that was not taken. */
export function refusalOf(outcome: EventOutcome, id: string): CoordinatorError {
  const refuse = (code: ErrorCode, sentence: string, committed: 'no' | 'unknown', place = {}) => new CoordinatorError(code, sentence, { committed, details: { eventId: id, ...place } });
  switch (outcome.code) {
    case EVENT_OUTCOME.idReused:
      return refuse('EVENT_ID_REUSED', `event id ${id} belongs to an event with other content, at index ${outcome.index}`, 'no', { index: outcome.index.toString(), offset: outcome.offset });
    case EVENT_OUTCOME.fenced:
      return refuse('EVENT_FENCED', `event id ${id} was declared absent by an outcome; publish it under a new id`, 'no');
    case EVENT_OUTCOME.forgotten:
      return refuse('SESSION_EXPIRED', `event ${id} repeats a sequence whose end is no longer known`, 'unknown');
    default:
      return refuse('SESSION_EXPIRED', `the session of event ${id} is no longer known; go on in a new one`, 'no');
  }
}
