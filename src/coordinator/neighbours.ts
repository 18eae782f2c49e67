/**
 * Keeps the network's idea of the cluster in step with the agreed one: who is in the table is dialled and accepted, who
 * was removed is let go of once no group's configuration needs it any more.
 */
import { parseAddress, type ResolvedConfig } from '../config/index.js';
import { type Core, type NativeStatus, raftId } from '../native/index.js';
import type { NetworkMember, NetworkMembers } from '../network/index.js';
import type { Roster } from './roster.js';

/** How long a removed member stays connected, so that it hears of its removal. */
const LINGER_MS = 3_000;

export interface NeighboursPorts {
  readonly core: Core;
  readonly config: ResolvedConfig;
  readonly roster: Roster;
  monotonicMs(): number;
  setMembers(members: NetworkMembers): void;
}

export class Neighbours {
  readonly #ports: NeighboursPorts;
  /** When a removed member that no configuration has any more is let go of. */
  readonly #until = new Map<string, number>();
  #told = '';

  constructor(ports: NeighboursPorts) {
    this.#ports = ports;
  }

  /** Tells the network what has changed since the last call. */
  refresh(status: NativeStatus): void {
    const { config, roster, core } = this.#ports;
    const needed = new Set(status.groups.flatMap(({ voters, outgoing, learners }) => [...voters, ...outgoing, ...learners]));
    const members: NetworkMember[] = [];
    const removed: string[] = [];
    const table = roster.members.filter(({ id }) => id !== config.nodeId);
    for (const { id, role, address } of table) {
      if (role === 'removed' && !needed.has(raftId(id)) && this.#isOver(id)) removed.push(id);
      else members.push({ slot: core.slotOf(id), nodeId: id, address: address === null ? null : parseAddress(address) });
    }
    // A node that joins knows nobody but its settings until a leader has found it.
    const named = new Set(table.map(({ id }) => id));
    for (const [id, address] of Object.entries(config.peers)) {
      if (!named.has(id)) members.push({ slot: core.slotOf(id), nodeId: id, address: parseAddress(address) });
    }
    const told = JSON.stringify([members, removed]);
    if (told === this.#told) return;
    this.#told = told;
    this.#ports.setMembers({ members, removed });
  }

  #isOver(id: string): boolean {
    const nowMs = this.#ports.monotonicMs();
    const until = this.#until.get(id);
    if (until === undefined) this.#until.set(id, nowMs + LINGER_MS);
    return until !== undefined && until <= nowMs;
  }
}
