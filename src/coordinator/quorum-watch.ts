/** Whether groups have a quorum, as far as this node can tell: who has one has a leader. An election is no loss before it has lasted. */

export interface QuorumWatchPorts {
  /** Whether a leader of the group is known here now. */
  led(group: number): boolean;
  monotonicMs(): number;
  /** How long a group is without a leader before its quorum counts as lost. */
  readonly graceMs: number;
}

export type QuorumState = 'there' | 'unsure' | 'lost';

export class QuorumWatch {
  readonly #ports: QuorumWatchPorts;
  /** What was seen in this turn of the event loop: all that wait are looked at in one. */
  #seen: Map<number, boolean> | null = null;
  /** Since when a group is seen without a leader. */
  readonly #sinceMs = new Map<number, number>();

  constructor(ports: QuorumWatchPorts) {
    this.#ports = ports;
  }

  /** `led`: whether there is a leader, where the caller has just looked. */
  state(group: number, led = this.#led(group)): QuorumState {
    if (led) {
      this.#sinceMs.delete(group);
      return 'there';
    }
    const nowMs = this.#ports.monotonicMs();
    const sinceMs = this.#sinceMs.get(group) ?? nowMs;
    this.#sinceMs.set(group, sinceMs);
    return nowMs - sinceMs >= this.#ports.graceMs ? 'lost' : 'unsure';
  }

  #led(group: number): boolean {
    if (this.#seen === null) {
      this.#seen = new Map();
      queueMicrotask(() => {
        this.#seen = null;
      });
    }
    const led = this.#seen.get(group) ?? this.#ports.led(group);
    this.#seen.set(group, led);
    return led;
  }
}
