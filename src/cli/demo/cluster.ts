import { join } from 'node:path';
import type { Status } from '../../contracts/index.js';
import { CoordinatorError } from '../../errors/index.js';
import { Member } from './member.js';
import { freePorts } from './ports.js';

const IDS = ['a', 'b', 'c'] as const;
const POLL_MS = 10;

/** Three members on loopback, each in a process of its own. */
export class Cluster {
  readonly members: readonly Member[];

  private constructor(members: readonly Member[]) {
    this.members = members;
  }

  /** Chooses ports; starts nothing yet. Detached members outlive this process. */
  static async plan(directory: string, detached: boolean): Promise<Cluster> {
    const ports = await freePorts(IDS.length * 2);
    const address = (at: number): string => `127.0.0.1:${ports[at]}`;
    const listeners = IDS.map((id, at) => ({ id, listen: address(at) }));
    return new Cluster(
      listeners.map(
        ({ id, listen }, at) =>
          new Member({
            id,
            listen,
            api: address(IDS.length + at),
            dataDir: join(directory, id),
            logFile: join(directory, `${id}.log`),
            peers: listeners.filter((peer) => peer.id !== id),
            detached,
          }),
      ),
    );
  }

  /** Resolves when all members answer and agree on a leader. */
  async start(): Promise<void> {
    await Promise.all(this.members.map((member) => member.start()));
    await this.until('agree on a leader', 20_000, async () => {
      const leaders = (await this.statuses()).map((status) => status?.leader ?? null);
      return leaders[0] !== null && leaders.every((leader) => leader === leaders[0]);
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop()));
  }

  killNow(): void {
    for (const member of this.members) member.killNow();
  }

  /** The member that leads, as the members that answer see it. */
  async leader(): Promise<Member> {
    for (const status of await this.statuses()) {
      const leader = this.members.find((member) => member.running && member.id === status?.leader);
      if (status !== null && status.role === 'leader' && leader !== undefined) return leader;
    }
    throw new CoordinatorError('UNAVAILABLE', 'no node leads');
  }

  /** Null for a member that does not answer. */
  statuses(): Promise<(Status | null)[]> {
    return Promise.all(this.members.map((member) => (member.running ? member.status().catch(() => null) : null)));
  }

  /** Resolves once `member` has applied what the leader had applied just before. */
  async caughtUp(member: Member): Promise<void> {
    await this.until(`see ${member.id} catch up`, 60_000, async () => {
      const ahead = await this.leader().then((leader) => (leader === member ? null : leader.status()));
      const behind = await member.status();
      return ahead !== null && ahead.leader === behind.leader && behind.appliedIndex >= ahead.appliedIndex;
    });
  }

  /** Resolves once all members have applied the same, index and hash. */
  async equal(): Promise<void> {
    await this.until('agree on what is applied', 20_000, async () => {
      const [first, ...others] = await this.statuses();
      return first != null && others.every((other) => other?.appliedIndex === first.appliedIndex && other.applyHash === first.applyHash);
    });
  }

  async until(what: string, timeoutMs: number, condition: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!(await condition().catch(() => false))) {
      if (performance.now() > deadline) throw new CoordinatorError('TIMEOUT', `the nodes did not ${what} within ${timeoutMs / 1000} s`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}
