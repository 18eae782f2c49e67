import type { Progress } from '../progress.js';
import type { Cluster } from './cluster.js';
import type { Member } from './member.js';

/** How long the killed member stays away at least. */
const AWAY_MS = 1000;

export interface FailoverFigures {
  readonly killed: string;
  /** Longest time between two acknowledged publishes from the kill to the restart. */
  readonly failoverGapMs: number;
  /** From the start of the new process until it has applied what the leader had. */
  readonly catchUpMs: number;
}

/** Kills the leader in the middle of a replay, starts it again while the replay goes on, and measures both. */
export class Failover {
  #lastAckMs = performance.now();
  #gapMs = 0;
  #acknowledgedSince = 0;
  #phase: 'before' | 'killed' | 'restarted' = 'before';
  #figures: Promise<FailoverFigures> | null = null;
  #enough: (() => void) | null = null;

  constructor(
    private readonly cluster: Cluster,
    private readonly progress: Progress,
    /** Events to be acknowledged without the killed member. */
    private readonly eventsAway: number,
  ) {}

  /** Call it for every acknowledged event. */
  acknowledged(): void {
    const nowMs = performance.now();
    if (this.#phase === 'killed') {
      this.#gapMs = Math.max(this.#gapMs, nowMs - this.#lastAckMs);
      this.#acknowledgedSince += 1;
      if (this.#acknowledgedSince >= this.eventsAway) this.#enough?.();
    }
    this.#lastAckMs = nowMs;
  }

  get begun(): boolean {
    return this.#figures !== null;
  }

  begin(): void {
    this.#figures ??= this.#run();
    // The failure is thrown by `finish`.
    this.#figures.catch(() => {});
  }

  /** Call it after the last event: a member that is still away comes back now. */
  finish(): Promise<FailoverFigures> {
    this.begin();
    this.#acknowledgedSince = this.eventsAway;
    this.#enough?.();
    return this.#figures as Promise<FailoverFigures>;
  }

  async #run(): Promise<FailoverFigures> {
    const leader: Member = await this.cluster.leader();
    this.#phase = 'killed';
    await Promise.all([leader.kill(), new Promise((resolve) => setTimeout(resolve, AWAY_MS))]);
    this.progress.note(`Killed the leader, ${leader.id}, with SIGKILL; the replay goes on.`);
    if (this.#acknowledgedSince < this.eventsAway) {
      await new Promise<void>((resolve) => {
        this.#enough = resolve;
      });
    }
    this.#phase = 'restarted';
    const startedMs = performance.now();
    await leader.start();
    await this.cluster.caughtUp(leader);
    const catchUpMs = performance.now() - startedMs;
    this.progress.note(`Started ${leader.id} again; it has caught up.`);
    return { killed: leader.id, failoverGapMs: Math.round(this.#gapMs), catchUpMs: Math.round(catchUpMs) };
  }
}
