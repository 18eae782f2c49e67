/**
 * Where others can be dialled, by what diallers say of themselves and of their neighbours. Of use only for whoever has no address otherwise;
 * nothing is believed beyond that, since the handshake with whoever answers there tells who it is.
 */
import { formatAddress, isDialable, parseAddress } from '../config/index.js';
import { type Address, kindOf, machineOf, type NetworkEvent } from '../network/index.js';

/** As many as a cluster has members, of those who called and of those who are told of. */
const CALLERS_MAX = 64;
/** Hosts that name no machine in particular. */
const UNSPECIFIED = /^[0:.]+$/;

interface Caller {
  address: Address | null;
  readonly connections: Set<number>;
}

interface Hearsay {
  readonly address: Address;
  /** Version of the table that the teller knows. */
  readonly tableVersion: bigint;
}

type Accepted = Extract<NetworkEvent, { type: 'accepted' }>;

export class Callers {
  readonly #isUp: (id: string) => boolean;
  /** Those who have called last are last. */
  readonly #callers = new Map<string, Caller>();
  /** Those who were told of last are last. */
  readonly #hearsay = new Map<string, Hearsay>();

  /** `isUp`: whether somebody is connected where this node dials it. */
  constructor(isUp: (id: string) => boolean) {
    this.#isUp = isUp;
  }

  /** Whether something was learnt, or somebody has gone. */
  take(event: NetworkEvent): boolean {
    if (event.type === 'closed') {
      const caller = this.#callers.get(event.peer);
      return caller?.connections.delete(event.connection) === true && caller.connections.size === 0;
    }
    if (event.type !== 'accepted') return false;
    const told = event.neighbours.map(({ nodeId, address }) => this.#hear(nodeId, addressOf(address, event.remote), event.tableVersion));
    return this.#meet(event) || told.includes(true);
  }

  /** What it said itself, else what was said of it; null where nobody has said anything that could be dialled. */
  addressOf(id: string): Address | null {
    return this.#callers.get(id)?.address ?? this.#hearsay.get(id)?.address ?? null;
  }

  connected(): string[] {
    return [...this.#callers].flatMap(([id, { connections }]) => (connections.size > 0 ? [id] : []));
  }

  /** Of whom those speak who know a newer table than this. */
  toldOf(tableVersion: bigint): string[] {
    return [...this.#hearsay].flatMap(([id, told]) => (told.tableVersion > tableVersion ? [id] : []));
  }

  #meet({ peer, connection, listen, remote }: Accepted): boolean {
    if (!this.#makeRoom(peer)) return false;
    const caller = this.#callers.get(peer) ?? { address: null, connections: new Set() };
    const before = JSON.stringify([caller.address, caller.connections.size > 0]);
    caller.connections.add(connection);
    caller.address = addressOf(listen, remote) ?? caller.address;
    this.#callers.delete(peer);
    this.#callers.set(peer, caller);
    return JSON.stringify([caller.address, true]) !== before;
  }

  /** A later word counts unless the earlier one has proved right. */
  #hear(id: string, address: Address | null, tableVersion: bigint): boolean {
    const before = this.#hearsay.get(id);
    if (address === null || (before !== undefined && this.#isUp(id))) return false;
    this.#hearsay.delete(id);
    const [oldest] = this.#hearsay.keys();
    if (oldest !== undefined && this.#hearsay.size >= CALLERS_MAX) this.#hearsay.delete(oldest);
    this.#hearsay.set(id, { address, tableVersion });
    return before === undefined || formatAddress(before.address) !== formatAddress(address) || before.tableVersion !== tableVersion;
  }

  /** False where there is none: only who has gone is forgotten. */
  #makeRoom(id: string): boolean {
    if (this.#callers.has(id) || this.#callers.size < CALLERS_MAX) return true;
    const gone = [...this.#callers].find(([, { connections }]) => connections.size === 0);
    return gone !== undefined && this.#callers.delete(gone[0]);
  }
}

/** What is told by who came from there. A path or a name means something only to who shares the machine, or the process: nobody else has this node knock at its own sockets. */
function addressOf(text: string, remote: string): Address | null {
  const address = parseAddress(text);
  if (address === null || !isDialable(address)) return null;
  if ('host' in address) return UNSPECIFIED.test(address.host) ? null : address;
  const teller = parseAddress(machineOf(remote));
  return teller !== null && kindOf(teller) === kindOf(address) ? address : null;
}
