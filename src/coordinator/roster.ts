/** Who belongs to the cluster, as this node knows it: the agreed table, and its own settings where there is none yet. */
import { peerAddressOf, type ResolvedConfig } from '../config/index.js';
import { type Core, type NativeGroup, type NativeStatus, raftId } from '../native/index.js';

export interface RosterMember {
  readonly id: string;
  /** Where this node dials it: its own settings go before the table. Null where nobody knows. */
  readonly address: string | null;
  readonly role: 'voter' | 'learner' | 'removed';
}

export class Roster {
  readonly #core: Core;
  readonly #config: ResolvedConfig;
  #members: readonly RosterMember[] = [];
  #names = new Map<bigint, string>();
  #guests: readonly string[] = [];

  constructor(core: Core, config: ResolvedConfig) {
    this.#core = core;
    this.#config = config;
    this.refresh();
  }

  /** The table has changed. */
  refresh(status: NativeStatus = this.#core.status()): void {
    const { nodeId, listen, peers, join } = this.#config;
    const founders = [nodeId, ...Object.keys(peers)].map((id) => ({ id, address: '', role: join ? 'learner' : 'voter' }));
    const table = status.table.length === 0 ? founders : status.table;
    this.#members = table
      .map((member): RosterMember => {
        const address = member.id === nodeId ? listen : (peerAddressOf(peers, member.id) ?? member.address);
        return { id: member.id, address: address === '' ? null : address, role: member.role as RosterMember['role'] };
      })
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    this.#names = new Map([...this.#guests, ...Object.keys(peers), ...this.#members.map(({ id }) => id)].map((id) => [raftId(id), id]));
  }

  /** Who is connected without being known to table or settings: a leader may be among them. */
  setGuests(ids: readonly string[]): void {
    this.#guests = ids;
    this.refresh();
  }

  /** Everyone there ever was, by id. */
  get members(): readonly RosterMember[] {
    return this.#members;
  }

  /** Voters that the cluster is to have; a configuration may be on its way there. */
  get voters(): number {
    return this.#members.filter(({ role }) => role === 'voter').length;
  }

  /** A member's id; its raft id in hexadecimal where the table does not name it. */
  nameOf(id: bigint): string {
    return this.#names.get(id) ?? `0x${id.toString(16)}`;
  }

  namesOf(ids: readonly bigint[]): string[] {
    return ids.map((id) => this.nameOf(id)).sort();
  }

  /** Whether every group's configuration is what the table says. */
  isSettled(groups: readonly NativeGroup[]): boolean {
    const wanted = (role: RosterMember['role']) => this.#members.filter((member) => member.role === role).map(({ id }) => id);
    const [voters, learners] = [wanted('voter').join(), wanted('learner').join()];
    return groups.every((group) => group.outgoing.length === 0 && this.namesOf(group.voters).join() === voters && this.namesOf(group.learners).join() === learners);
  }
}
