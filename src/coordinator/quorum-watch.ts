/** Whether groups have a quorum, as far as this node can tell: who has one has a leader. An election is no loss before it has lasted. */

/** Elections of the longest kind, one after the other, after which a group without a leader has lost its quorum. */
const GRACE_ELECTIONS = 2;

export interface Leadership {
  /** Whether a leader of the group is known here now. */
  readonly led: boolean;
  /** The longest election timeout in use. */
  readonly electionTimeoutMaxMs: number;
}

export interface QuorumWatchPorts {
  leadershipOf(group: number): Leadership;
  monotonicMs(): number;
}

export type QuorumState = 'there' | 'unsure' | 'lost';

export class QuorumWatch {
  readonly #ports: QuorumWatchPorts;
  /** What was seen in this turn of the event loop: all that wait are looked at in one. */
  #seen: Map<number, Leadership> | null = null;
  /** Since when a group is seen without a leader. */
  readonly #sinceMs = new Map<number, number>();

  constructor(ports: QuorumWatchPorts) {
    this.#ports = ports;
  }

  /** `leadership`: where the caller has just looked. */
  state(group: number, { led, electionTimeoutMaxMs } = this.#leadershipOf(group)): QuorumState {
    if (led) {
      this.#sinceMs.delete(group);
      return 'there';
    }
    const nowMs = this.#ports.monotonicMs();
    const sinceMs = this.#sinceMs.get(group) ?? nowMs;
    this.#sinceMs.set(group, sinceMs);
    return nowMs - sinceMs >= GRACE_ELECTIONS * electionTimeoutMaxMs ? 'lost' : 'unsure';
  }

  #leadershipOf(group: number): Leadership {
    if (this.#seen === null) {
      this.#seen = new Map();
      queueMicrotask(() => {
        this.#seen = null;
      });
    }
    const leadership = this.#seen.get(group) ?? this.#ports.leadershipOf(group);
    this.#seen.set(group, leadership);
    return leadership;
  }
}
