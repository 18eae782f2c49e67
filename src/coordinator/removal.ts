/**
 * Whether to believe a peer that refuses this node as removed. One may be wrong: a member that was made the first of a
 * cluster of its own (`vexcoord recover`) says so of all others, who may be well. Who has a leader was not removed.
 */
import type { Links } from './links.js';

/** How long a node hears of no leader before it believes a peer; several elections longer than one takes. */
const PATIENCE_MS = 5_000;
const PATIENCE_ELECTIONS = 4;

export interface RemovalPorts {
  readonly nodeId: string;
  readonly links: Links;
  monotonicMs(): number;
}

export class Removal {
  readonly #ports: RemovalPorts;
  #sinceMs: number | null = null;

  constructor(ports: RemovalPorts) {
    this.#ports = ports;
  }

  /** To be asked regularly, with the leader of each group as far as one is known, and the longest election timeout in use. */
  isBelieved(leaders: readonly (string | null)[], electionTimeoutMaxMs: number): boolean {
    const { nodeId, links, monotonicMs } = this.#ports;
    // A leader of before that cannot be reached, or that says it itself, may be one no more.
    const led = leaders.some((leader) => leader !== null && (leader === nodeId || links.isUp(leader)));
    if (led || !links.anySaysRemoved()) {
      this.#sinceMs = null;
      return false;
    }
    this.#sinceMs ??= monotonicMs();
    return monotonicMs() - this.#sinceMs >= Math.max(PATIENCE_MS, PATIENCE_ELECTIONS * electionTimeoutMaxMs);
  }
}
