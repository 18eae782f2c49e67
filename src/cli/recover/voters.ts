/** Whether the voters of a stopped member's cluster are still there. */
import { parseAddress, peerAddressOf } from '../../config/index.js';
import type { HeldDirectory } from '../../contracts/index.js';
import { CoordinatorError } from '../../errors/index.js';
import { type Credentials, probePeer } from '../../network/index.js';
import { usage } from '../arguments.js';

/** Versions of the peer protocol that this release asks in. */
const PROTOCOL = { min: 1, max: 1 } as const;

export interface VoterFound {
  readonly id: string;
  /** Null for a voter that was said to be gone, and for this node itself. */
  readonly address: string | null;
  /** `unclear` may be alive: one that does not answer in time, or another one at its address. */
  readonly state: 'this node' | 'answers' | 'silent' | 'unclear' | 'gone';
  /** What was met at the address, where it is not the voter's own answer. */
  readonly found: string | null;
  /** The member of the cluster that answered at the address, whoever that is. */
  readonly answeredBy: string | null;
}

export interface VoterQuestions {
  /** Addresses by id, besides those of the table. */
  readonly peers: Readonly<Record<string, string>>;
  /** Voters that are known to exist no more. */
  readonly gone: readonly string[];
  readonly timeoutMs: number;
  /** Of the stopped member, where the cluster has TLS. */
  readonly credentials?: Credentials | null;
}

/** Asks each voter that may count at its address. Throws `USAGE` for one whose address nobody knows, and for names that are nobody's. */
export async function findVoters(held: HeldDirectory, questions: VoterQuestions): Promise<VoterFound[]> {
  const voters = [...new Set(held.quorums.flat(2))].sort();
  checkNames(held, voters, questions);
  const known = voters.map((id) => {
    if (id === held.nodeId || questions.gone.includes(id)) return { id, addresses: [] };
    const told = [peerAddressOf(questions.peers, id), held.members.find((member) => member.id === id)?.address];
    const addresses = [...new Set(told.filter((address) => address !== undefined && address !== null))];
    if (addresses.length === 0) throw usage(`the address of the voter ${id} is not in the directory; give --peer ${id}=HOST:PORT where it would answer, or --gone ${id} if it exists no more`);
    return { id, addresses };
  });
  const asked = await Promise.all(known.map(({ id, addresses }) => askAll(held, id, addresses, questions)));
  // Who answers at another's address is alive too, whichever of its addresses tells the most of that one.
  const alive = new Set(asked.flat().flatMap(({ answeredBy }) => (answeredBy === null ? [] : [answeredBy])));
  return asked.map(mostTelling).map((voter) => (voter.state !== 'this node' && alive.has(voter.id) ? { ...voter, state: 'answers' } : voter));
}

function checkNames(held: HeldDirectory, voters: readonly string[], { peers, gone }: VoterQuestions): void {
  const others = voters.filter((id) => id !== held.nodeId);
  const stray = gone.find((id) => !others.includes(id));
  if (stray !== undefined) throw usage(`--gone ${stray} names no other voter; those are ${others.join(', ') || 'none'}`);
  const unknown = Object.keys(peers).find((id) => !voters.includes(id) && !held.members.some((member) => member.id === id));
  if (unknown !== undefined) throw usage(`--peer ${unknown} names no member; the other voters are ${others.join(', ') || 'none'}`);
}

const askAll = (held: HeldDirectory, id: string, addresses: readonly string[], questions: VoterQuestions): Promise<VoterFound[]> =>
  Promise.all((addresses.length === 0 ? [null] : addresses).map((address) => ask(held, id, address, questions)));

/** A mistyped address is refused like that of a voter that is gone: it proves nothing alone where the table has another. */
function mostTelling([first, ...others]: readonly VoterFound[]): VoterFound {
  const found = [first!, ...others];
  const unclear = others.find(({ state }) => state === 'unclear');
  return found.find(({ state }) => state === 'answers') ?? (first!.state === 'silent' ? unclear : undefined) ?? first!;
}

async function ask(held: HeldDirectory, id: string, address: string | null, { timeoutMs, credentials }: VoterQuestions): Promise<VoterFound> {
  const nobody = { id, address, found: null, answeredBy: null };
  if (id === held.nodeId) return { ...nobody, state: 'this node' };
  if (address === null) return { ...nobody, state: 'gone' };
  const target = parseAddress(address);
  if (target === null) throw usage(`the address ${address} of the voter ${id} is neither HOST:PORT nor unix:PATH`);
  const { clusterId, nodeId, incarnation, directory } = held;
  const probed = await probePeer(target, id, { clusterId, nodeId, incarnation, directory }, PROTOCOL, timeoutMs, credentials);
  if (probed.kind !== 'answer') return { ...nobody, state: probed.kind, found: probed.reason };
  // A refusal is an answer too.
  const { answer } = probed;
  if (answer.code === 'CERTIFICATE_REFUSED') return { ...nobody, state: 'unclear', found: `a member answers that it does not believe this one: ${answer.reason}` };
  if (answer.clusterId !== clusterId) return { ...nobody, state: 'unclear', found: `node ${answer.nodeId} of cluster ${answer.clusterId} answers` };
  if (answer.nodeId !== id) return { ...nobody, state: 'unclear', found: `${answer.nodeId} answers`, answeredBy: answer.nodeId };
  return { ...nobody, state: 'answers', answeredBy: id };
}

/** Throws `QUORUM_EXISTS` unless a majority is known to be gone whatever is in force, `USAGE` where an address is another member's. */
export function refuseMajority(voters: readonly VoterFound[], quorums: HeldDirectory['quorums']): void {
  const there = voters.filter(({ state }) => state === 'this node' || state === 'answers');
  const alive = majorityOf(there, quorums);
  if (alive !== undefined) {
    const counts = alive.map((set) => `${among(there, set).length} of ${set.length}`).join(' and ');
    throw new CoordinatorError('QUORUM_EXISTS', `${counts} voters are there, a majority: ${among(there, alive.flat()).map((voter) => whereOf(voter, voters)).join(', ')}; start this node instead, and change members with "vexcoord member"`);
  }
  const [misplaced] = voters.filter(({ id, answeredBy }) => answeredBy !== null && answeredBy !== id);
  if (misplaced !== undefined) {
    const { id, address, answeredBy } = misplaced;
    throw usage(`the address ${address} of ${id} is ${answeredBy}'s, which answers there; give --peer ${id}=HOST:PORT where ${id} would answer, or --gone ${id} if it exists no more`);
  }
  const possible = majorityOf(voters.filter(({ state }) => state !== 'silent' && state !== 'gone'), quorums);
  if (possible === undefined) return;
  const unclear = among(voters, possible.flat()).filter(({ state }) => state === 'unclear');
  const what = unclear.map(({ id, address, found }) => `${id} at ${address} (${found})`).join(', ');
  const flags = unclear.map(({ id }) => `--gone ${id}`).join(' ');
  throw new CoordinatorError('QUORUM_EXISTS', `a majority of the ${possible.map((set) => set.length).join(' and the ')} voters may be there, since it is unclear whether ${what} ${unclear.length === 1 ? 'is' : 'are'} alive; let them answer, or end their processes, or correct --peer, and try again; give ${flags} only for what is certain to exist no more`);
}

const among = (voters: readonly VoterFound[], ids: readonly string[]): VoterFound[] => voters.filter(({ id }) => ids.includes(id));

/** The first list of sets of each of which these are a majority. */
function majorityOf(voters: readonly VoterFound[], quorums: HeldDirectory['quorums']): HeldDirectory['quorums'][number] | undefined {
  return quorums.find((sets) => sets.every((set) => among(voters, set).length > set.length / 2));
}

function whereOf({ id, address, state }: VoterFound, voters: readonly VoterFound[]): string {
  if (state === 'this node') return `${id} (this node)`;
  const place = voters.find(({ answeredBy }) => answeredBy === id);
  return place === undefined || place.id === id ? `${id} at ${address}` : `${id} at ${place.address}, the address given for ${place.id}`;
}
