/**
 * What becomes of publishes to the ordered lane while their group has no quorum (rule R5): they wait, fail at once, or are lowered to level
 * causal. It is decided before an event is handed to the core: what has been cannot be lowered any more, since a leader may have it.
 */
import type { Decision } from '../consistency/index.js';
import type { EventInput, OrderedLevel, PublishOptions } from '../contracts/index.js';
import { checkTimeout, CoordinatorError, type ErrorCode } from '../errors/index.js';
import type { SubmissionWriter } from '../events/index.js';
import { Handed } from './handed.js';
import { Lowering, type LoweringPorts } from './lowering.js';
import type { Choice, Ending } from './publisher.js';
import type { QuorumWatch } from './quorum-watch.js';
import type { SessionState } from './session.js';
import { WaitingRoom, type WaitingRoomPorts } from './waiting-room.js';

export interface QuorumLossPorts extends Omit<LoweringPorts, 'refusals'>, WaitingRoomPorts {
  readonly quorum: Pick<QuorumWatch, 'state'>;
  readonly writer: SubmissionWriter;
  readonly nodeId: string;
  readonly timeoutMs: number;
  /** The directory was never open before. */
  readonly firstLife: boolean;
  /** Whether everything that a cursor of the causal lane names is delivered here. Throws `CURSOR_INVALID`. */
  reaches(cursor: string): boolean;
  /** A rule of the configuration lowers events. */
  readonly degrades: boolean;
  /** To the ordered lane; hands in before it returns, unless there is no room. */
  ordered(events: readonly EventInput[], choice: Choice, options: PublishOptions, session: SessionState | null, each: boolean): Promise<Ending[]>;
  /** Of an event that is published again what it has come to, where the order has it as far as this node knows; null for any other. */
  known(event: EventInput & { readonly id: string }, group: number, asking: Pick<Decision, 'level' | 'rule'> & { readonly timeoutMs: number }): Promise<Ending | null>;
}

type OrderedDecision = Decision & { readonly level: OrderedLevel };

/** A publish, until it is known where it goes. */
interface Attempt {
  readonly events: readonly EventInput[];
  readonly decision: OrderedDecision;
  readonly options: PublishOptions;
  readonly group: number;
  readonly session: SessionState | null;
  /** Behind whose lowered events its own get their places; a publish that is in no session may follow one all the same. */
  readonly line: SessionState | null;
  readonly each: boolean;
  /** The last publish of its session that was on its way to the causal lane at the call, and so comes before; 0 for none. */
  readonly writing: number;
  /** What its events are known to have come to, before they may be lowered; null while that is looked up. */
  known?: readonly (Ending | null)[] | CoordinatorError | null;
}

/** These end an attempt, and say nothing of the one before. */
const OF_AN_ATTEMPT: readonly ErrorCode[] = ['TIMEOUT', 'ABORTED', 'CLOSED', 'BACKPRESSURE', 'GROUP_QUOTA'];

export class QuorumLoss {
  readonly #ports: QuorumLossPorts;
  readonly #handed: Handed;
  readonly #room: WaitingRoom;
  readonly #lowering: Lowering;

  constructor(ports: QuorumLossPorts) {
    this.#ports = ports;
    this.#handed = new Handed(ports.firstLife);
    this.#room = new WaitingRoom(ports);
    this.#lowering = new Lowering({ ...ports, refusals: (events, each) => this.#check(events, each).refusals });
  }

  async publish(events: readonly EventInput[], decision: OrderedDecision, options: PublishOptions, group: number, session: SessionState | null, each: boolean, behind = session): Promise<Ending[]> {
    const timeoutMs = checkTimeout(options.timeoutMs ?? decision.timeoutMs ?? this.#ports.timeoutMs);
    const attempt: Attempt = { events, decision, options, group, session, line: behind, each, writing: session?.writing ?? 0 };
    if (options.attempted === true) this.#handed.note(events);
    // What a session publishes to a group goes its way in the order of the calls.
    const line = session?.in(group) ?? null;
    if (options.signal?.aborted !== true && (line === null || this.#room.isFree(line))) {
      const ended = this.#go(attempt, timeoutMs);
      if (ended !== null) return ended;
    }
    const { refusals, bytes } = this.#check(events, each);
    // What is no event waits for nothing.
    if (refusals.size === events.length) return [...refusals.values()];
    const committed = () => (this.#mayBeThere(attempt) ? 'unknown' : 'no');
    return this.#room.wait(line, { bytes, timeoutMs, signal: options.signal, committed, go: (leftMs) => this.#go(attempt, leftMs) });
  }

  /** A publish of the session to the causal lane has ended, which others may wait for. */
  wrote(session: SessionState): void {
    for (const line of session.groups) this.#room.lookAt(line);
  }

  /** Ends what waits here, now and later. */
  close(): void {
    this.#room.close();
  }

  /** Its way, which has begun when this returns; null while it is not known, or not free. Throws `QUORUM_LOST`. */
  #go(attempt: Attempt, leftMs: number): Promise<Ending[]> | null {
    const { decision, group } = attempt;
    const { onQuorumLoss } = decision;
    if (onQuorumLoss !== 'wait') {
      const handed = this.#mayBeHanded(attempt);
      const state = this.#ports.quorum.state(group);
      if (state === 'lost' && onQuorumLoss === 'fail') throw lost(group, this.#mayBeThere(attempt) ? 'unknown' : 'no');
      // What a leader may have is not lowered, whichever attempt it was that it got: it need not be known how the election ends.
      if (state === 'unsure' && !(handed && onQuorumLoss === 'degrade')) return null;
      if (state === 'lost') {
        const way = this.#lower(attempt, leftMs);
        if (way !== 'ordered') return way;
      } else delete attempt.known;
    }
    return this.#isHeld(attempt) ? null : this.#order(attempt, leftMs);
  }

  /** To the causal lane, what is nowhere yet; `ordered` where that cannot be known. Null while it is looked up. */
  #lower(attempt: Attempt, leftMs: number): Promise<Ending[]> | 'ordered' | null {
    const { events, decision, options, group, session, line, each } = attempt;
    // What it follows is waited for where nothing of it is written yet.
    if (options.after !== undefined && !this.#ports.reaches(options.after)) return null;
    const known = events.some(isNamed) ? this.#known(attempt, leftMs) : [];
    if (known === null) return null;
    const isKnown = (at: number): boolean => known[at] != null;
    // A quorum that was asked for is not there to be asked.
    if (decision.level === 'strong' && events.some((_, at) => isKnown(at))) return 'ordered';
    if (events.some((event, at) => !isKnown(at) && this.#isOpen(event, attempt))) return 'ordered';
    const rest = events.filter((_, at) => !isKnown(at));
    if (rest.length === 0) return Promise.resolve(known as Ending[]);
    const { level, lossRule: rule } = decision;
    const lowered = this.#lowering.lower(rest, { group, level, rule }, { ...options, timeoutMs: leftMs }, session, each, line);
    if (rest.length === events.length) return lowered;
    return lowered.then((endings) => {
      let next = 0;
      return events.map((_, at) => known[at] ?? (endings[next++] as Ending));
    });
  }

  /** Null while it is looked up, and while it is not known what earlier lives have lowered. Throws what the look-up ended with. */
  #known(attempt: Attempt, timeoutMs: number): readonly (Ending | null)[] | null {
    const { events, group, decision } = attempt;
    if (!this.#ports.placing.isComplete) return null;
    if (attempt.known instanceof CoordinatorError) throw attempt.known;
    if (attempt.known !== undefined) return attempt.known;
    attempt.known = null;
    const found = (known: Attempt['known']) => {
      if (known !== undefined) attempt.known = known;
      this.#room.look();
    };
    Promise.all(events.map((event) => (isNamed(event) ? this.#ports.known(event, group, { ...decision, timeoutMs }) : null))).then(found, (error: unknown) => found(CoordinatorError.from(error)));
    return null;
  }

  /** Whether a leader may have an event, of an earlier attempt, that is not in the causal lane. */
  #isOpen(event: EventInput, { options, group }: Attempt): boolean {
    if (this.#ports.placing.waitsFor(event?.id)) return false;
    if (options.attempted === true) return true;
    return isNamed(event) && (this.#handed.has(event.id) || (options.attempted === undefined && !this.#handed.isSettled(group)));
  }

  #mayBeHanded(attempt: Attempt): boolean {
    const { events, decision, options } = attempt;
    if (Array.isArray(attempt.known) && attempt.known.some((ending) => ending !== null)) return true;
    if (decision.onQuorumLoss === 'degrade') return events.some((event) => this.#isOpen(event, attempt));
    return options.attempted === true || this.#handed.hasAny(events);
  }

  /** As `mayBeHanded`, by an earlier life too, which this one does not know of: no way is chosen by it, but nobody is told *no*. */
  #mayBeTried(attempt: Attempt): boolean {
    const { events, options, group } = attempt;
    return this.#mayBeHanded(attempt) || (options.attempted === undefined && events.some(isNamed) && !this.#handed.isSettled(group));
  }

  /** Whether either lane may have an event, of an earlier attempt: what waits for its place is written, and so may be what earlier lives have lowered. */
  #mayBeThere(attempt: Attempt): boolean {
    const { placing, degrades } = this.#ports;
    const { events, options } = attempt;
    if (this.#mayBeTried(attempt) || events.some((event) => placing.waitsFor(event?.id))) return true;
    return degrades && !placing.isComplete && options.attempted !== false && events.some(isNamed);
  }

  /**
   * What the session has published before is waited for, on its way to the causal lane or without a place; or the places of these very events, as
   * far as it is known which have been lowered.
   */
  #isHeld({ events, group, session, line, writing }: Attempt): boolean {
    const { placing, degrades } = this.#ports;
    if (writing > 0 && session?.hasWritten(writing) === false) return true;
    if (degrades && !placing.isComplete && events.some(isNamed)) return true;
    if (placing.waiting === 0) return false;
    return (line !== null && placing.holds(line, group)) || events.some((event) => placing.waitsFor(event?.id));
  }

  /** Hands in before it returns first. */
  #order(attempt: Attempt, leftMs: number): Promise<Ending[]> {
    const { events, decision, options, group, session, each } = attempt;
    const before = this.#mayBeTried(attempt);
    const ended = this.#ports.ordered(events, decision, { ...options, timeoutMs: leftMs }, session, each);
    const followed = events.some(isNamed) ? this.#handed.follow(events, ended) : ended;
    return before || !this.#handed.isSettled(group) ? this.#told(followed, group, before) : followed;
  }

  /** With `before`, another attempt may yet commit what this one has not. */
  async #told(ended: Promise<Ending[]>, group: number, before: boolean): Promise<Ending[]> {
    const told = <E>(ending: E): E | CoordinatorError => (before && ending instanceof CoordinatorError ? unlessBefore(ending) : ending);
    try {
      const endings = await ended;
      if (endings.some((ending) => !(ending instanceof CoordinatorError || ending.duplicate))) this.#handed.settle(group);
      return endings.map(told);
    } catch (error) {
      throw told(error);
    }
  }

  /** What is no event, by its position, since what is written of the others must name none of them; and how large they are. */
  #check(events: readonly EventInput[], each: boolean): { readonly refusals: ReadonlyMap<number, CoordinatorError>; readonly bytes: number } {
    const refusals = new Map<number, CoordinatorError>();
    const header = { level: 'causal', origin: this.#ports.nodeId, group: 0, session: null, firstSequence: 0n, acknowledgedThrough: 0n, hlc: 0n } as const;
    const { bytes } = this.#ports.writer.packEvents({ ...header, events, ...(each ? { refusals } : {}) });
    return { refusals, bytes: bytes.length };
  }
}

const isNamed = (event: EventInput): event is EventInput & { readonly id: string } => event?.id !== undefined;

function unlessBefore(error: CoordinatorError): CoordinatorError {
  if (error.committed !== 'no' || !OF_AN_ATTEMPT.includes(error.code)) return error;
  return new CoordinatorError(error.code, `${error.message}; what became of an attempt before is not known`, { committed: 'unknown', cause: error, ...(error.details === undefined ? {} : { details: error.details }) });
}

function lost(group: number, committed: 'no' | 'unknown'): CoordinatorError {
  const before = committed === 'no' ? '' : '; what became of the attempt before is not known';
  return new CoordinatorError('QUORUM_LOST', `group ${group} has no leader, and no majority of its voters is known to be there${before}`, { committed });
}
