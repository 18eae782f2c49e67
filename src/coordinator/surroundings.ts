/** How this node stands to the others, for levels that go by it. */
import type { Surroundings as Seen } from '../consistency/index.js';
import type { ResolvedConfig } from '../config/index.js';
import type { Links } from './links.js';
import type { QuorumWatch } from './quorum-watch.js';
import type { Roster } from './roster.js';

export interface SurroundingsPorts {
  readonly nodeId: string;
  readonly roster: Pick<Roster, 'members'>;
  readonly links: Pick<Links, 'health'>;
  readonly quorum: Pick<QuorumWatch, 'state'>;
  readonly causal: Pick<ResolvedConfig['causal'], 'gossipIntervalMs' | 'deliveryTimeoutMs'>;
  readonly raft: Pick<ResolvedConfig['raft'], 'heartbeatIntervalMs'>;
}

export class Surroundings {
  readonly #ports: SurroundingsPorts;

  constructor(ports: SurroundingsPorts) {
    this.#ports = ports;
  }

  now(): Seen {
    const { nodeId, roster, links, quorum, causal, raft } = this.#ports;
    const voters = roster.members.filter(({ role }) => role === 'voter');
    const linked = voters.filter(({ id }) => id === nodeId || links.health(id) === 'ok');
    return {
      // A connection stays up while the process at its other end is stopped: without a leader nobody is known to be there.
      majorityLinked: linked.length > voters.length / 2 && quorum.state(0) === 'there',
      // One frame is lost: gossip tells that something is missing, and after the other time it is asked for.
      spreadMs: causal.gossipIntervalMs + causal.deliveryTimeoutMs,
      // The commit index goes with entries and heartbeats; one of them is lost.
      followMs: 2 * raft.heartbeatIntervalMs,
    };
  }
}
