/** Requests that wait for their end, by number; and their deadlines. */
import { LIMITS } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { CAUSAL_GROUP, type Core, END, type End, TAKEN } from '../native/index.js';
import { onAbort } from '../runtime/index.js';

interface Waiting {
  readonly settle: (end: End) => void;
  readonly fail: (error: CoordinatorError) => void;
  readonly deadlineMs: number;
  /** For the error: what timed out. */
  readonly what: string;
  readonly group: number;
  readonly bytes: number;
  /** A read: whatever became of it, nothing was committed by it. */
  readonly reads: boolean;
  readonly follows: boolean;
  /** Its deadline has passed, and the core was asked whether a leader can have seen it. */
  late: boolean;
  /** Given up by its caller, not by its deadline. */
  aborted: boolean;
}

export interface RequestOptions {
  readonly what: string;
  /** Ordered group it concerns. */
  readonly group: number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly bytes?: number;
  readonly reads?: boolean;
  /** It follows entries of the causal lane, and may have waited for them. */
  readonly follows?: boolean;
}

/** How often deadlines are looked at; a timeout is this much late at most. */
const SWEEP_MS = 25;

/** Invariant: `bytes` is the sum over `#waiting`, and `bytesOf` that over one group's. */
export class Requests {
  readonly #core: Pick<Core, 'withdraw'>;
  readonly #nowMs: () => number;
  readonly #waiting = new Map<number, Waiting>();
  readonly #bytesOf = new Map<number, number>();
  #next = 1;
  #timer: NodeJS.Timeout | null = null;
  #ended: CoordinatorError | null = null;
  readonly #onRoom: (() => void)[] = [];
  bytes = 0;

  constructor(core: Pick<Core, 'withdraw'>, monotonicMs: () => number) {
    this.#core = core;
    this.#nowMs = monotonicMs;
  }

  /** Has `told` called when bytes were freed. */
  onRoom(told: () => void): void {
    this.#onRoom.push(told);
  }

  /** Milliseconds of the clock that deadlines go by. */
  nowMs(): number {
    return this.#nowMs();
  }

  get size(): number {
    return this.#waiting.size;
  }

  /**
   * Makes a request: `hand` hands it to the core under its number and answers one of `TAKEN`.
   * Rejects with `TIMEOUT`, `ABORTED`, `BACKPRESSURE`, `STATE_DIVERGED`, `CLOSED` or the error that ended the node.
   */
  make(options: RequestOptions, hand: (request: number) => number): Promise<End> {
    if (this.#ended !== null) {
      // Never handed in, whatever became of those that were.
      const { code, message } = this.#ended;
      return Promise.reject(new CoordinatorError(code, message, { committed: 'no', cause: this.#ended }));
    }
    if (options.signal?.aborted) return Promise.reject(new CoordinatorError('ABORTED', `${options.what} was aborted before it began`, { committed: 'no' }));
    const request = this.#next;
    const taken = hand(request);
    if (taken === TAKEN.full) return Promise.reject(new CoordinatorError('BACKPRESSURE', `${options.what}: too many bytes wait for their receipts already`));
    if (taken === TAKEN.unknownGroup) return Promise.reject(new CoordinatorError('GROUP_UNKNOWN', `${options.what}: group ${options.group} does not exist`));
    if (taken === TAKEN.diverged) return Promise.reject(new CoordinatorError('STATE_DIVERGED', `${options.what}: this node has applied something else than a majority of group ${options.group}; ask another member`));
    if (taken === TAKEN.clockAhead) return Promise.reject(new CoordinatorError('CLOCK_AHEAD', `${options.what}: the clock of this node is more than ${LIMITS.clockAheadMsMax / 1000} s ahead of most other members'; set it`, { details: { limit: LIMITS.clockAheadMsMax } }));
    if (taken !== TAKEN.yes) return Promise.reject(new CoordinatorError('CLOSED', `${options.what}: the node has ended`));
    this.#next = request === 0xffffffff ? 1 : request + 1;
    return new Promise((resolve, reject) => {
      const bytes = options.bytes ?? 0;
      const done = onAbort(options.signal, () => this.#giveUp(request, true));
      this.#waiting.set(request, {
        settle: (end) => {
          done();
          resolve(end);
        },
        fail: (error) => {
          done();
          reject(error);
        },
        deadlineMs: this.#nowMs() + options.timeoutMs,
        what: options.what,
        group: options.group,
        bytes,
        reads: options.reads ?? false,
        follows: options.follows ?? false,
        late: false,
        aborted: false,
      });
      this.#count(options.group, bytes);
      this.#timer ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
    });
  }

  /** Takes an end from the core. */
  end(end: End): void {
    const waiting = this.#take(end.request);
    if (waiting === undefined) return;
    if (end.kind === END.withdrawn) {
      // Only a request that was given up ends so: `count` says whether a leader may have seen it.
      waiting.fail(late(waiting, end.count === 1 ? 'no' : 'unknown'));
    } else if (end.kind === END.notUnderstood) waiting.fail(new CoordinatorError('INTERNAL', `${waiting.what}: ${end.reason.text}`));
    else waiting.settle(end);
  }

  /** Ends everything that waits, now and later. */
  endAll(error: CoordinatorError): void {
    this.#ended ??= error;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    for (const request of [...this.#waiting.keys()]) this.#take(request)?.fail(error);
  }

  bytesOf(group: number): number {
    return this.#bytesOf.get(group) ?? 0;
  }

  #count(group: number, bytes: number): void {
    this.bytes += bytes;
    this.#bytesOf.set(group, this.bytesOf(group) + bytes);
  }

  #take(request: number): Waiting | undefined {
    const waiting = this.#waiting.get(request);
    if (waiting === undefined) return undefined;
    this.#waiting.delete(request);
    this.#count(waiting.group, -waiting.bytes);
    if (this.#waiting.size === 0 && this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
    if (waiting.bytes > 0) for (const told of this.#onRoom) told();
    return waiting;
  }

  #sweep(): void {
    const nowMs = this.#nowMs();
    for (const [request, waiting] of this.#waiting) {
      if (waiting.deadlineMs <= nowMs && !waiting.late) this.#giveUp(request, false);
    }
  }

  #giveUp(request: number, aborted: boolean): void {
    const waiting = this.#waiting.get(request);
    if (waiting === undefined || waiting.late) return;
    waiting.late = true;
    waiting.aborted = aborted;
    this.#core.withdraw(request, waiting.group);
  }
}

/** The core knows which of the two it was, and does not tell. */
function notHanded({ follows }: Waiting): string {
  return follows ? 'no leader was found to hand it to, or what it follows in the causal lane has not come here, or to a majority, yet' : 'no leader was found to hand it to';
}

function late(waiting: Waiting, known: 'no' | 'unknown'): CoordinatorError {
  const committed = waiting.reads ? 'no' : known;
  const lane = waiting.group === CAUSAL_GROUP;
  const why = lane ? (committed === 'no' ? 'it was not written' : 'it was being written to the disk of this node') : waiting.reads ? 'no leader confirmed it in time' : committed === 'no' ? notHanded(waiting) : 'it was handed to a leader, but its end is not known here';
  return waiting.aborted
    ? new CoordinatorError('ABORTED', `${waiting.what} was aborted: ${why}`, { committed })
    : new CoordinatorError('TIMEOUT', `${waiting.what} timed out: ${why}`, { committed });
}
