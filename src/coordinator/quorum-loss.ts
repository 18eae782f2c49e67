/**
 * What becomes of publishes to the ordered lane while their group has no quorum (rule R5): they wait, fail at once, or are lowered to level
 * causal. It is decided before an event is handed to the core: what has been cannot be lowered any more, since a leader may have it.
 */
import type { Decision } from '../consistency/index.js';
import type { EventInput, OrderedLevel, PublishOptions } from '../contracts/index.js';
import { checkTimeout, CoordinatorError } from '../errors/index.js';
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
  /** To the ordered lane; hands in before it returns, unless there is no room. */
  ordered(events: readonly EventInput[], choice: Choice, options: PublishOptions, session: SessionState | null, each: boolean): Promise<Ending[]>;
}

type OrderedDecision = Decision & { readonly level: OrderedLevel };

/** A publish, until it is known where it goes. */
interface Attempt {
  readonly events: readonly EventInput[];
  readonly decision: OrderedDecision;
  readonly options: PublishOptions;
  readonly group: number;
  readonly session: SessionState | null;
  readonly each: boolean;
}

export class QuorumLoss {
  readonly #ports: QuorumLossPorts;
  readonly #handed = new Handed();
  readonly #room: WaitingRoom;
  readonly #lowering: Lowering;

  constructor(ports: QuorumLossPorts) {
    this.#ports = ports;
    this.#room = new WaitingRoom(ports);
    this.#lowering = new Lowering({ ...ports, refusals: (events, each) => this.#check(events, each).refusals });
  }

  async publish(events: readonly EventInput[], decision: OrderedDecision, options: PublishOptions, group: number, session: SessionState | null, each: boolean): Promise<Ending[]> {
    const timeoutMs = checkTimeout(options.timeoutMs ?? decision.timeoutMs ?? this.#ports.timeoutMs);
    const attempt = { events, decision, options, group, session, each };
    // What a session publishes to a group goes its way in the order of the calls.
    const line = session?.in(group) ?? null;
    if (options.signal?.aborted !== true && (line === null || this.#room.isFree(line))) {
      const ended = this.#go(attempt, timeoutMs);
      if (ended !== null) return ended;
    }
    const { refusals, bytes } = this.#check(events, each);
    // What is no event waits for nothing.
    if (refusals.size === events.length) return [...refusals.values()];
    const committed = () => (this.#mayBeHanded(attempt) ? 'unknown' : 'no');
    return this.#room.wait(line, { bytes, timeoutMs, signal: options.signal, committed, go: (leftMs) => this.#go(attempt, leftMs) });
  }

  /** Ends what waits here, now and later. */
  close(): void {
    this.#room.close();
  }

  /** Its way, which has begun when this returns; null while it is not known, or not free. Throws `QUORUM_LOST`. */
  #go(attempt: Attempt, leftMs: number): Promise<Ending[]> | null {
    const { events, decision, options, group, session, each } = attempt;
    const { level, lossRule: rule, onQuorumLoss } = decision;
    const handed = this.#mayBeHanded(attempt);
    // What a leader may have is not lowered, whichever attempt it was that it got.
    const state = onQuorumLoss === 'wait' || (handed && onQuorumLoss === 'degrade') ? 'there' : this.#ports.quorum.state(group);
    if (state === 'unsure') return null;
    if (state === 'lost') {
      if (onQuorumLoss === 'fail') throw lost(group, handed ? 'unknown' : 'no');
      return this.#lowering.lower(events, { group, level, rule }, { ...options, timeoutMs: leftMs }, session, each);
    }
    return this.#isHeld(attempt) ? null : this.#order(attempt, leftMs);
  }

  #mayBeHanded({ events, options }: Attempt): boolean {
    return options.attempted === true || this.#handed.hasAny(events);
  }

  /** Places are waited for: of what the session has published before, or of these very events. */
  #isHeld({ events, group, session }: Attempt): boolean {
    const { placing } = this.#ports;
    if (placing.waiting === 0) return false;
    return (session !== null && placing.holds(session, group)) || events.some((event) => placing.waitsFor(event?.id));
  }

  /** Hands in before it returns first. */
  #order({ events, decision, options, session, each }: Attempt, leftMs: number): Promise<Ending[]> {
    const ended = this.#ports.ordered(events, decision, { ...options, timeoutMs: leftMs }, session, each);
    return decision.onQuorumLoss === 'wait' ? ended : this.#handed.follow(events, ended);
  }

  /** What is no event, by its position, since what is written of the others must name none of them; and how large they are. */
  #check(events: readonly EventInput[], each: boolean): { readonly refusals: ReadonlyMap<number, CoordinatorError>; readonly bytes: number } {
    const refusals = new Map<number, CoordinatorError>();
    const header = { level: 'causal', origin: this.#ports.nodeId, group: 0, session: null, firstSequence: 0n, acknowledgedThrough: 0n, hlc: 0n } as const;
    const { bytes } = this.#ports.writer.packEvents({ ...header, events, ...(each ? { refusals } : {}) });
    return { refusals, bytes: bytes.length };
  }
}

function lost(group: number, committed: 'no' | 'unknown'): CoordinatorError {
  const before = committed === 'no' ? '' : '; what became of the attempt before is not known';
  return new CoordinatorError('QUORUM_LOST', `group ${group} has no leader, and no majority of its voters is known to be there${before}`, { committed });
}
