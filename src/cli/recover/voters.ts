/** Whether the voters of a stopped member's cluster are still there. */
import { parseAddress } from '../../config/index.js';
import type { HeldDirectory } from '../../contracts/index.js';
import { probePeer } from '../../network/index.js';
import { usage } from '../arguments.js';

/** Versions of the peer protocol that this release asks in. */
const PROTOCOL = { min: 1, max: 1 } as const;

export interface VoterFound {
  readonly id: string;
  /** Null for a voter that was said to be gone, and for this node itself. */
  readonly address: string | null;
  readonly state: 'this node' | 'answers' | 'silent' | 'gone';
}

export interface VoterQuestions {
  /** Addresses by id, over those of the table. */
  readonly peers: Readonly<Record<string, string>>;
  /** Voters that are known to exist no more. */
  readonly gone: readonly string[];
  readonly timeoutMs: number;
}

/** Asks each voter at its address. Throws `USAGE` for one whose address nobody knows. */
export async function findVoters(held: HeldDirectory, questions: VoterQuestions): Promise<VoterFound[]> {
  const voters = held.members.filter(({ role }) => role === 'voter');
  const known = voters.map(({ id, address }) => {
    if (id === held.nodeId || questions.gone.includes(id)) return { id, address: null };
    const given = questions.peers[id] ?? address;
    if (given === null) throw usage(`the address of the voter ${id} is not in the directory; give --peer ${id}=HOST:PORT where it would answer, or --gone ${id} if it exists no more`);
    return { id, address: given };
  });
  return Promise.all(
    known.map(async ({ id, address }): Promise<VoterFound> => {
      if (id === held.nodeId) return { id, address, state: 'this node' };
      const target = address === null ? null : parseAddress(address);
      if (target === null) return { id, address, state: 'gone' };
      const { clusterId, nodeId, incarnation, directory } = held;
      const answer = await probePeer(target, id, { clusterId, nodeId, incarnation, directory }, PROTOCOL, questions.timeoutMs);
      // A refusal is an answer too; another node or cluster at the address is not this voter's.
      const answers = answer !== null && answer.nodeId === id && answer.clusterId === clusterId;
      return { id, address, state: answers ? 'answers' : 'silent' };
    }),
  );
}
