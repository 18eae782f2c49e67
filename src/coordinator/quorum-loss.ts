/**
 * What becomes of publishes to the ordered lane while their group has no quorum (rule R5): they wait, fail at once, or are lowered to level
 * causal. It is decided before an event is handed to the core: what has been cannot be lowered any more, since a leader may have it.
 */
import type { Decision } from '../consistency/index.js';
import type { EventInput, OrderedLevel, PublishOptions, Receipt } from '../contracts/index.js';
import { LIMITS } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import type { EventIds, SubmissionWriter } from '../events/index.js';
import type { Said } from './causal-publisher.js';
import { Handed } from './handed.js';
import { degradedEvent, type Lowered } from './place-notice.js';
import type { Placing } from './placing.js';
import type { Choice, Ending } from './publisher.js';
import type { QuorumWatch } from './quorum-watch.js';
import { checkTimeout } from './requests.js';
import type { SessionState } from './session.js';

export interface QuorumLossPorts {
  readonly quorum: QuorumWatch;
  readonly placing: Placing;
  readonly writer: SubmissionWriter;
  readonly ids: EventIds;
  readonly nodeId: string;
  readonly timeoutMs: number;
  monotonicMs(): number;
  /** To the ordered lane; hands in before it returns, unless there is no room. */
  ordered(events: readonly EventInput[], choice: Choice, options: PublishOptions, session: SessionState | null, each: boolean): Promise<Ending[]>;
  /** To the causal lane, behind what the session follows there; `writeMs` is how long the write may take after that. */
  causal(events: readonly EventInput[], options: PublishOptions, session: SessionState | null, said: Said, writeMs: number): Promise<Ending[]>;
}

type OrderedDecision = Decision & { readonly level: OrderedLevel };

const POLL_MS = 20;
const WAITED = 'the publish %s while it waited for a quorum, or for the places of what its session published before it';
/** What is being written to the disk here ends by itself: nobody takes it back. */
const WRITE_MS = 86_400_000;

export class QuorumLoss {
  readonly #ports: QuorumLossPorts;
  readonly #handed = new Handed();

  constructor(ports: QuorumLossPorts) {
    this.#ports = ports;
  }

  async publish(events: readonly EventInput[], decision: OrderedDecision, options: PublishOptions, group: number, session: SessionState | null, each: boolean): Promise<Ending[]> {
    const turns = session?.turns(group) ?? null;
    const before = session?.writes ?? null;
    if (decision.onQuorumLoss === 'wait' && before === null && turns?.free !== false && !this.#isHeld(events, group, session)) return this.#order(events, decision, options, session, each);
    const deadline = new Deadline(options.timeoutMs ?? decision.timeoutMs ?? this.#ports.timeoutMs, options.signal, this.#ports.monotonicMs);
    // What ends it is left in a wrapper: the next one's turn comes once this one is handed in.
    const way = async (): Promise<{ ended: Promise<Ending[]> }> => {
      // What the session has on its way in the causal lane comes before.
      if (before !== null) await before;
      return this.#way(events, decision, options, group, session, each, deadline);
    };
    return (await deadline.race(turns === null ? way() : turns.take(way), WAITED, 'no')).ended;
  }

  async #way(events: readonly EventInput[], decision: OrderedDecision, options: PublishOptions, group: number, session: SessionState | null, each: boolean, deadline: Deadline): Promise<{ ended: Promise<Ending[]> }> {
    const { quorum } = this.#ports;
    for (let looked = false; ; looked = true) {
      const handed = options.attempted === true || this.#handed.hasAny(events);
      // What a leader may have is not lowered, whichever attempt it was that it got.
      const onLoss = handed && decision.onQuorumLoss === 'degrade' ? 'wait' : decision.onQuorumLoss;
      const state = onLoss === 'wait' ? 'there' : await quorum.known(group, () => deadline.over);
      deadline.check();
      if (state === 'lost') {
        if (onLoss === 'fail') throw lost(group, handed ? 'unknown' : 'no');
        return { ended: this.#lower(events, decision, options, group, session, each, deadline) };
      }
      if (!this.#isHeld(events, group, session)) break;
      const refusals = looked ? null : this.#refusals(events, each);
      // What is no event waits for nothing.
      if (refusals?.size === events.length) return { ended: Promise.resolve([...refusals.values()]) };
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return { ended: this.#order(events, decision, { ...options, timeoutMs: deadline.leftMs }, session, each) };
  }

  /** Places are waited for: of what the session has published before, or of these very events. */
  #isHeld(events: readonly EventInput[], group: number, session: SessionState | null): boolean {
    const { placing } = this.#ports;
    if (placing.waiting === 0) return false;
    return (session !== null && placing.holds(session, group)) || events.some((event) => placing.waitsFor(event?.id));
  }

  /** Hands in before it returns first. */
  #order(events: readonly EventInput[], decision: OrderedDecision, options: PublishOptions, session: SessionState | null, each: boolean): Promise<Ending[]> {
    const ended = this.#ports.ordered(events, decision, options, session, each);
    return decision.onQuorumLoss === 'wait' ? ended : this.#handed.follow(events, ended);
  }

  /** Writes events to the causal lane, with word of it, and keeps room for their places. Has done so when it returns first. */
  async #lower(events: readonly EventInput[], decision: OrderedDecision, options: PublishOptions, group: number, session: SessionState | null, each: boolean, deadline: Deadline): Promise<Ending[]> {
    const { placing, causal, ids } = this.#ports;
    if (events.length >= LIMITS.batchEventsMax) {
      throw new CoordinatorError('BATCH_TOO_LARGE', `without a quorum a batch has at most ${LIMITS.batchEventsMax - 1} events, this one ${events.length}`, { details: { limit: LIMITS.batchEventsMax - 1 } });
    }
    const named = events.map((event) => (event?.id === undefined ? { ...event, id: ids.next() } : event));
    const refusals = this.#refusals(named, each);
    const good = named.filter((_, at) => !refusals.has(at)) as Lowered['event'][];
    const asked = { group, level: decision.level, rule: decision.lossRule };
    const slot = placing.expect(session, group, good.map(({ id }) => id));
    const said = { requestedLevel: decision.level, degraded: true, rule: decision.lossRule };
    const mark = ids.next();
    placing.mark(mark);
    const batch = [degradedEvent(mark, asked, good.map(({ id }) => id)), ...good];
    const written = good.length === 0 ? Promise.resolve([]) : causal(batch, { ...options, timeoutMs: deadline.leftMs }, session, said, WRITE_MS).then((endings) => endings.slice(1));
    const placed = written.then(
      (endings) => {
        // What the lane has already under the same id is refused, or stands where it was.
        const lowered = endings.flatMap((ending, at) => (ending instanceof CoordinatorError ? [] : [loweredOf(good[at] as Lowered['event'], ending)]));
        placing.fill(slot, lowered, asked);
        placing.lowered += lowered.length;
        return endings;
      },
      (error: unknown) => {
        placing.cancel(slot);
        throw error;
      },
    );
    const endings = await deadline.race(placed, 'the publish %s while it was being written to the disk of this node', 'unknown');
    let next = 0;
    return events.map((_, at) => refusals.get(at) ?? (endings[next++] as Ending));
  }

  /** What is no event, by its position: what is written of the others must name none of them. */
  #refusals(events: readonly EventInput[], each: boolean): ReadonlyMap<number, CoordinatorError> {
    const refusals = new Map<number, CoordinatorError>();
    const header = { level: 'causal', origin: this.#ports.nodeId, group: 0, session: null, firstSequence: 0n, acknowledgedThrough: 0n, hlc: 0n } as const;
    this.#ports.writer.packEvents({ ...header, events, ...(each ? { refusals } : {}) });
    return refusals;
  }
}

/** A receipt of the causal lane knows who has written it; of one from elsewhere its clock has the row. */
function loweredOf(event: Lowered['event'], { index, offset, clock, hlc, actor }: Receipt & { readonly actor?: string }): Lowered {
  const row = Object.entries(clock ?? {}).find(([, counter]) => counter === index.toString());
  return { event, actor: actor ?? row?.[0] ?? '', index, offset, clock: clock ?? {}, hlc };
}

/** How long a caller waits. */
class Deadline {
  readonly #endsMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #nowMs: () => number;

  /** Throws `USAGE`. */
  constructor(timeoutMs: number, signal: AbortSignal | undefined, nowMs: () => number) {
    this.#endsMs = nowMs() + checkTimeout(timeoutMs);
    this.#signal = signal;
    this.#nowMs = nowMs;
  }

  get leftMs(): number {
    return Math.max(1, this.#endsMs - this.#nowMs());
  }
  get over(): boolean {
    return this.#signal?.aborted === true || this.#nowMs() >= this.#endsMs;
  }

  /** Throws where it is over and nothing was handed in. */
  check(): void {
    if (this.over) throw this.#ended(WAITED, 'no');
  }

  /** What `promise` comes to; or how its caller's time has ended, while it goes on. `what` has %s in the place of that. */
  race<T>(promise: Promise<T>, what: string, committed: 'no' | 'unknown'): Promise<T> {
    return new Promise((resolve, reject) => {
      const end = () => reject(this.#ended(what, committed));
      const timer = setTimeout(end, this.leftMs);
      this.#signal?.addEventListener('abort', end, { once: true });
      if (this.#signal?.aborted) end();
      promise.then(resolve, reject).finally(() => {
        clearTimeout(timer);
        this.#signal?.removeEventListener('abort', end);
      });
    });
  }

  #ended(what: string, committed: 'no' | 'unknown'): CoordinatorError {
    const aborted = this.#signal?.aborted === true;
    return new CoordinatorError(aborted ? 'ABORTED' : 'TIMEOUT', what.replace('%s', aborted ? 'was aborted' : 'timed out'), { committed });
  }
}

function lost(group: number, committed: 'no' | 'unknown'): CoordinatorError {
  const before = committed === 'no' ? '' : '; what became of the attempt before is not known';
  return new CoordinatorError('QUORUM_LOST', `group ${group} has no leader, and no majority of its voters is known to be there${before}`, { committed });
}
