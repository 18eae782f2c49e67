/**
 * A newer process of a data directory dials while an older one seems connected. A restart looks like that before the end
 * of the old process is noticed, and so does a copy of the directory beside the original. The lock on a directory tells
 * them apart: the old connections are closed, and only a process that is alive dials again. Until it has had the time for
 * it, it counts as connected.
 */
import type { LivePeer } from './verdict.js';

/** Within it nobody is challenged twice; a machine that died is noticed by then anyway. */
const AGAIN_MS = 15_000;

/** Why a connection is closed. */
export const CHALLENGED = 'a newer process of the same directory has dialled; this one is to show that it is alive, by dialling again';

interface Challenge {
  readonly older: LivePeer;
  readonly newerLife: bigint;
  readonly begunMs: number;
}

export class Challenges {
  readonly #patienceMs: number;
  readonly #last = new Map<string, Challenge>();

  constructor(patienceMs: number) {
    this.#patienceMs = patienceMs;
  }

  /** Whether the older one has to show itself now; false where it has done so before. */
  begin(nodeId: string, older: LivePeer, newerLife: bigint, nowMs: number): boolean {
    const last = this.#last.get(nodeId);
    const met = last !== undefined && isSame(last.older, older) && (last.newerLife === newerLife || nowMs - last.begunMs < AGAIN_MS);
    if (!met) this.#last.set(nodeId, { older, newerLife, begunMs: nowMs });
    return !met;
  }

  /** Who still has time to dial again. */
  *awaited(nodeId: string, nowMs: number): Iterable<LivePeer> {
    const last = this.#last.get(nodeId);
    if (last !== undefined && nowMs - last.begunMs < this.#patienceMs) yield last.older;
  }
}

export function isSame(one: LivePeer, other: LivePeer): boolean {
  return one.incarnation === other.incarnation && one.life === other.life;
}
