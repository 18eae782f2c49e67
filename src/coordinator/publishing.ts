/** The way of a publish before its lane: which level each event gets, which session it belongs to, and what becomes of it without a quorum. */
import type { LevelPolicy, Part } from '../consistency/index.js';
import { type CausalLevel, type EventInput, isCausal, type PublishOptions, type Receipt, type Session, type SessionOptions } from '../contracts/index.js';
import { checkTimeout, CoordinatorError } from '../errors/index.js';
import { CausalPlace, type CursorCodec, type EventIds } from '../events/index.js';
import type { CausalBarrier } from './causal-barrier.js';
import type { CausalPublisher, Said } from './causal-publisher.js';
import { groupOf } from './groups.js';
import type { Places } from './places.js';
import type { Choice, Ending, Publisher } from './publisher.js';
import type { QuorumLoss } from './quorum-loss.js';
import { SessionState } from './session.js';

export interface PublishingPorts {
  readonly policy: LevelPolicy;
  readonly publisher: Publisher;
  readonly causal: CausalPublisher;
  readonly loss: QuorumLoss;
  readonly barrier: Pick<CausalBarrier, 'behind'>;
  readonly places: Places;
  readonly cursors: CursorCodec;
  readonly ids: EventIds;
  readonly groups: number;
  readonly timeoutMs: number;
  monotonicMs(): number;
  /** Throws `MEMBER_REMOVED`. */
  checkMember(): void;
}

export class Publishing {
  readonly #ports: PublishingPorts;
  readonly #sessions = new WeakMap<Session, SessionState>();
  #own: SessionState;

  constructor(ports: PublishingPorts) {
    this.#ports = ports;
    this.#own = new SessionState(ports.ids.next());
  }

  /** Opens a session; what is published through it goes through `publish` and `publishBatch`. */
  session({ after }: SessionOptions, through: Pick<Session, 'publish' | 'publishBatch'>): Session {
    if (after !== undefined) this.#placeOf(after);
    const state = new SessionState(this.#ports.ids.next(), after);
    const context = () => this.#both(state.last?.cursor ?? null, state.after);
    const session: Session = {
      id: state.id,
      get context() {
        return context();
      },
      publish: (event, options) => through.publish(event, { ...options, session } as PublishOptions),
      publishBatch: (events, options) => through.publishBatch(events, { ...options, session } as PublishOptions),
    };
    this.#sessions.set(session, state);
    return session;
  }

  /** What comes back stands in the order of `events`. With `each`, a refused event is an error in its place; without it, the first one rejects. */
  async publish(events: readonly EventInput[], given: PublishOptions, each: boolean): Promise<Ending[]> {
    const { attempted } = given;
    if (attempted !== undefined && typeof attempted !== 'boolean') throw new CoordinatorError('USAGE', `attempted is true, false or left out, not ${JSON.stringify(attempted)}`);
    const isApart = given.session === undefined && given.after !== undefined;
    const state = isApart ? null : this.#stateOf(given.session);
    const options = isApart ? { ...given, after: this.#behindOwn(given.after) } : given;
    const parts = this.#ports.policy.plan(events, options);
    const [only] = parts;
    if (only !== undefined && only.positions === null) return this.#part(only, options, state, each);
    const ended = await Promise.allSettled(parts.map((part) => this.#part(part, options, state, each)));
    const endings = new Array<Ending>(events.length);
    for (const [at, { positions, events: own }] of parts.entries()) {
      const end = ended[at] as PromiseSettledResult<Ending[]>;
      if (end.status === 'rejected' && !each) throw end.reason;
      const results = end.status === 'fulfilled' ? end.value : own.map(() => CoordinatorError.from(end.reason));
      for (const [place, position] of (positions ?? []).entries()) endings[position] = results[place] as Ending;
    }
    return endings;
  }

  /** To the causal lane; `writeMs` is how long the write may take once what it follows is delivered, where that is another time. */
  causal(events: readonly EventInput[], level: CausalLevel, options: PublishOptions, state: SessionState | null, each: boolean, said: Said = plainly(level), writeMs?: number): Promise<Ending[]> {
    const ended = this.#causal(events, level, options, state, each, said, writeMs);
    return state === null ? ended : state.write(ended, () => this.#ports.loss.wrote(state));
  }

  async #causal(events: readonly EventInput[], level: CausalLevel, options: PublishOptions, state: SessionState | null, each: boolean, said: Said, writeMs: number | undefined): Promise<Ending[]> {
    const { barrier, causal, monotonicMs, checkMember } = this.#ports;
    checkMember();
    if (level === 'eventual' && options.after !== undefined) throw new CoordinatorError('USAGE', 'an eventual event follows nothing; publish it at level causal');
    const after = level === 'causal' ? (this.#both(options.after ?? null, state?.after) ?? undefined) : undefined;
    const timeoutMs = checkTimeout(options.timeoutMs ?? this.#ports.timeoutMs);
    const sinceMs = monotonicMs();
    const write = () => {
      const { signal, ...unaborted } = options;
      const left = writeMs === undefined ? { ...options, timeoutMs: Math.max(1, timeoutMs - (monotonicMs() - sinceMs)) } : { ...unaborted, timeoutMs: writeMs };
      return causal.publish(events, level, left, each, said);
    };
    const turns = state?.turns ?? null;
    const endings = await (after === undefined && turns?.free !== false ? write() : barrier.behind(turns, after, timeoutMs, options.signal, write));
    const receipts = endings.filter((ending): ending is Receipt => !(ending instanceof CoordinatorError));
    const last = receipts.findLast(({ duplicate }) => !duplicate);
    if (last !== undefined) state?.note(last, after !== undefined);
    // What was published before, or apart from the node's own session, stands somewhere else: what comes next in the session follows it all the same.
    const next = state ?? (options.session === undefined ? this.#own : null);
    if (next !== null) for (const receipt of receipts) if (receipt.duplicate || state === null) next.after = this.#both(receipt.cursor, next.after) ?? undefined;
    return endings;
  }

  /** To the ordered lane; hands in before it returns first, unless there is no room. */
  async ordered(events: readonly EventInput[], choice: Choice, options: PublishOptions, state: SessionState | null, each: boolean): Promise<Ending[]> {
    const { publisher, places, groups } = this.#ports;
    const endings = await publisher.publish(events, choice, options, state, each);
    const has = (code: string): boolean => endings.some((ending) => ending instanceof CoordinatorError && ending.code === code);
    // A node that was quiet while 10,000 others published has lost its own session: the next publish opens another.
    if (state === this.#own && has('SESSION_EXPIRED')) this.#own = new SessionState(this.#ports.ids.next());
    return has('EVENT_ID_REUSED') ? Promise.all(endings.map((ending, at) => places.firstReceipt(ending, events[at] as EventInput, groupOf(options.group, groups)))) : endings;
  }

  async #part({ decision, events }: Part, { timeoutMaxMs, ...given }: PublishOptions, state: SessionState | null, each: boolean): Promise<Ending[]> {
    if (decision instanceof CoordinatorError) {
      if (each) return events.map(() => decision);
      throw decision;
    }
    const { level, rule } = decision;
    const timeoutMs = Math.min(given.timeoutMs ?? decision.timeoutMs ?? this.#ports.timeoutMs, timeoutMaxMs ?? Number.POSITIVE_INFINITY);
    const options = { ...given, timeoutMs };
    const group = groupOf(options.group, this.#ports.groups);
    if (isCausal(level)) return this.causal(events, level, options, state, each, { ...plainly(level), rule });
    return this.#ports.loss.publish(events, { ...decision, level }, options, group, state, each, state ?? (given.session === undefined ? this.#own : null));
  }

  /**
   * All who name no session share the node's own. What one of them waits for with `after` is to hold up none of the others: such a publish is in no
   * session, but follows what the node's own has written.
   */
  #behindOwn(after: string | undefined): string {
    const { last, after: before } = this.#own;
    return this.#both(this.#both(after ?? null, last?.cursor), before) as string;
  }

  /** A cursor of the causal lane that names what both name. */
  #both(one: string | null, other: string | undefined): string | null {
    if (one === null || other === undefined) return one ?? other ?? null;
    return this.#ports.cursors.encodeCausal(this.#placeOf(one).with(this.#placeOf(other)).encode());
  }

  /** Throws `CURSOR_INVALID`. */
  #placeOf(cursor: string): CausalPlace {
    const place = this.#ports.cursors.decodeCausal(cursor);
    if (place === null) throw new CoordinatorError('CURSOR_INVALID', 'the cursor is of the ordered lane; a publish and a session follow one of the causal lane');
    return CausalPlace.read(place);
  }

  #stateOf(session: Session | null | undefined): SessionState | null {
    if (session === null) return null;
    if (session === undefined) return this.#own;
    const state = this.#sessions.get(session);
    if (state === undefined) throw new CoordinatorError('SESSION_EXPIRED', 'the session is of another node; sessions are used on the node that made them');
    return state;
  }
}

const plainly = (level: CausalLevel): Said => ({ requestedLevel: level, degraded: false, rule: null });
