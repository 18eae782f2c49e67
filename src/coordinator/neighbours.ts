/**
 * Keeps the network's idea of the cluster in step with the agreed one: who is in the table is dialled and accepted, who
 * was removed is let go of once no group's configuration needs it any more. Where neither the settings nor the table say how
 * to dial somebody, what it said itself when it dialled this node is tried, else what others said of it.
 */
import { parseAddress, type ResolvedConfig } from '../config/index.js';
import { type Core, type NativeStatus, raftId } from '../native/index.js';
import type { NetworkEvent, NetworkMember, NetworkMembers, NetworkTable } from '../network/index.js';
import { Callers } from './callers.js';
import type { Roster } from './roster.js';

/** How long a removed member stays connected, so that it hears of its removal. */
const LINGER_MS = 3_000;
/** Guests that are dialled back in the life of a process: the core keeps a place for each for good. */
const GUESTS_MAX = 64;

export interface NeighboursPorts {
  readonly core: Core;
  readonly config: ResolvedConfig;
  readonly roster: Roster;
  monotonicMs(): number;
  /** Whether this node's own dial to it is up. */
  isUp(nodeId: string): boolean;
  setMembers(members: NetworkMembers): void;
}

export class Neighbours {
  readonly #ports: NeighboursPorts;
  /** When a removed member that no configuration has any more is let go of. */
  readonly #until = new Map<string, number>();
  readonly #callers: Callers;
  readonly #guestSlots = new Map<string, number>();
  #told = '';

  constructor(ports: NeighboursPorts) {
    this.#ports = ports;
    this.#callers = new Callers((id) => ports.isUp(id));
  }

  /** Takes what concerns accepted connections; whether somebody's address has become known by it, or a guest has gone. */
  take(event: NetworkEvent): boolean {
    return this.#callers.take(event);
  }

  /** Tells the network what has changed since the last call. */
  refresh(status: NativeStatus): void {
    const { config, roster, core } = this.#ports;
    const needed = new Set(status.groups.flatMap(({ voters, outgoing, learners }) => [...voters, ...outgoing, ...learners]));
    const members: NetworkMember[] = [];
    const removed: string[] = [];
    // Voters first: who knows one of them finds the leader, and a Hello may have no room for all.
    const others = roster.members.filter(({ id }) => id !== config.nodeId);
    const table = [...others.filter(({ role }) => role === 'voter'), ...others.filter(({ role }) => role !== 'voter')];
    for (const { id, role, address } of table) {
      if (role === 'removed' && !needed.has(raftId(id)) && this.#isOver(id)) removed.push(id);
      else members.push({ slot: core.slotOf(id), nodeId: id, address: address === null ? this.#callers.addressOf(id) : parseAddress(address) });
    }
    // A node that joins knows nobody but its settings until a leader has found it.
    const named = new Set(table.map(({ id }) => id));
    for (const [id, address] of Object.entries(config.peers)) {
      if (!named.has(id)) members.push({ slot: core.slotOf(id), nodeId: id, address: parseAddress(address) });
    }
    const agreed = tableOf(status);
    const guests = this.#guests(new Set([config.nodeId, ...removed, ...members.map(({ nodeId }) => nodeId)]), agreed.version);
    const told = JSON.stringify([members, removed, guests, String(agreed.version)]);
    if (told === this.#told) return;
    this.#told = told;
    roster.setGuests(guests.map(({ nodeId }) => nodeId));
    this.#ports.setMembers({ members, removed, guests, table: agreed });
  }

  /** Who is not known and can be dialled: because it is connected, which is the network's to judge, or by the word of somebody whose table is newer. */
  #guests(known: ReadonlySet<string>, tableVersion: bigint): NetworkMember[] {
    const ids = new Set([...this.#callers.connected(), ...this.#callers.toldOf(tableVersion)]);
    return [...ids].flatMap((nodeId) => {
      const address = known.has(nodeId) ? null : this.#callers.addressOf(nodeId);
      const slot = address === null ? null : this.#guestSlot(nodeId);
      return slot === null ? [] : [{ slot, nodeId, address }];
    });
  }

  #guestSlot(id: string): number | null {
    const had = this.#guestSlots.get(id);
    if (had !== undefined) return had;
    if (this.#guestSlots.size >= GUESTS_MAX) return null;
    const slot = this.#ports.core.slotOf(id);
    this.#guestSlots.set(id, slot);
    return slot;
  }

  #isOver(id: string): boolean {
    const nowMs = this.#ports.monotonicMs();
    const until = this.#until.get(id);
    if (until === undefined) this.#until.set(id, nowMs + LINGER_MS);
    return until !== undefined && until <= nowMs;
  }
}

export function tableOf({ table, tableVersion }: Pick<NativeStatus, 'table' | 'tableVersion'>): NetworkTable {
  return { version: tableVersion, empty: table.length === 0 };
}
