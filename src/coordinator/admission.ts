/** Who may publish now. Bytes that wait for receipts are bounded, those of one group to its share of them; who finds no room waits in its group's queue, and the groups take turns. */
import { CoordinatorError } from '../errors/index.js';
import { onAbort } from '../runtime/index.js';

export interface AdmissionPorts {
  /** Bytes that wait for their receipts, in all and of one group. */
  bytes(): number;
  bytesOf(group: number): number;
  readonly bytesMax: number;
  /** Ordered groups, from 0 on. */
  readonly groups: number;
  /** Of `bytesMax` and of the publishes that may wait for room: what one group may take where there are others. */
  readonly groupSharePercentage: number;
}

/** Publishes that may wait for room at the same time; a group may always have its equal part of them. */
const QUEUE_MAX = 10_000;

/** Publishes that wait for room, in the order they were made. */
type Line = Set<() => void>;

/** Invariant: nobody waits who could be let in, but for while one that was let in has not taken its room yet. */
export class Admission {
  readonly #ports: AdmissionPorts;
  readonly #share: number;
  readonly #lines: readonly Line[];
  #waiting = 0;
  /** The group that was let in last. */
  #turn = 0;
  /** One that was let in and has not taken its room yet: nobody may overtake it. */
  #entering = false;

  constructor(ports: AdmissionPorts) {
    this.#ports = ports;
    this.#share = ports.groups === 1 ? 1 : ports.groupSharePercentage / 100;
    this.#lines = Array.from({ length: ports.groups }, () => new Set());
  }

  /** Whether a publish to the group has to wait for its turn. */
  waits(group: number): boolean {
    return this.#entering || this.#line(group).size > 0 || !this.#hasRoom(group);
  }

  /**
   * Resolves, in turn, when there is room; the caller takes it and calls `entered`. What ends here has not been sent.
   * Rejects with `BACKPRESSURE` or `GROUP_QUOTA` where too many wait, `ABORTED` and `TIMEOUT`.
   */
  turn(group: number, signal: AbortSignal | undefined, timeoutMs: number): Promise<void> {
    if (signal?.aborted) return Promise.reject(new CoordinatorError('ABORTED', 'the publish was aborted before it began', { committed: 'no' }));
    const line = this.#line(group);
    const full = this.#full(group, line);
    if (full !== null) return Promise.reject(full);
    return new Promise((resolve, reject) => {
      const leave = () => {
        line.delete(admit);
        this.#waiting -= 1;
        clearTimeout(timer);
        forget();
      };
      const admit = () => {
        leave();
        resolve();
      };
      const abort = () => {
        leave();
        reject(new CoordinatorError('ABORTED', 'the publish was aborted while it waited for room', { committed: 'no' }));
      };
      const expire = () => {
        leave();
        reject(new CoordinatorError('TIMEOUT', 'the publish timed out while it waited for room', { committed: 'no' }));
      };
      const timer = setTimeout(expire, timeoutMs).unref();
      const forget = onAbort(signal, abort);
      line.add(admit);
      this.#waiting += 1;
    });
  }

  /** Whoever was let in has taken its room, or does not need it any more. */
  entered(): void {
    this.#entering = false;
    this.admit();
  }

  /** Lets the next one in, if there is room; it asks for the one after it when it has taken its own. */
  admit(): void {
    if (this.#entering || this.#waiting === 0) return;
    const { groups } = this.#ports;
    for (let step = 1; step <= groups; step++) {
      const group = (this.#turn + step) % groups;
      const [admit] = this.#line(group);
      if (admit === undefined || !this.#hasRoom(group)) continue;
      this.#turn = group;
      this.#entering = true;
      admit();
      return;
    }
  }

  /** Lets everybody go on, to fail where they go: the node closes. */
  release(): void {
    for (const line of this.#lines) for (const admit of [...line]) admit();
  }

  #line(group: number): Line {
    return this.#lines[group] as Line;
  }

  /** An empty queue takes any publish, however large. */
  #hasRoom(group: number): boolean {
    const { bytesMax } = this.#ports;
    return this.#ports.bytes() < bytesMax && this.#ports.bytesOf(group) < bytesMax * this.#share;
  }

  #full(group: number, line: Line): CoordinatorError | null {
    if (this.#waiting >= QUEUE_MAX && line.size >= Math.floor(QUEUE_MAX / this.#ports.groups)) return new CoordinatorError('BACKPRESSURE', `${QUEUE_MAX} publishes wait for room already; await their receipts first`);
    const lineMax = Math.max(1, Math.floor(QUEUE_MAX * this.#share));
    if (line.size < lineMax) return null;
    const { groupSharePercentage } = this.#ports;
    const sentence = `${lineMax} publishes to group ${group} wait for room already, which is all that one group may have (limits.groupSharePercentage is ${groupSharePercentage}); await their receipts first`;
    return new CoordinatorError('GROUP_QUOTA', sentence, { details: { group, limit: lineMax, groupSharePercentage } });
  }
}
