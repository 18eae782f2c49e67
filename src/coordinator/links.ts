/** What the network has told of each peer: whether it can be reached, and why it was refused. */
import type { NetworkEvent, RefusalCode } from '../network/index.js';

/** A second process that is refused dials again every second or two: one that has not for so long has ended. */
const DUPLICATE_MS = 10_000;

interface Peer {
  readonly up: Set<number>;
  refused: string | null;
  /** How our own dials to it are refused, or null. */
  turnedAway: RefusalCode | null;
}

export class Links {
  readonly #peers = new Map<string, Peer>();
  /** Dials by a second process of a member, or of this node, by its id. */
  readonly #duplicates = new Map<string, { readonly reason: string; readonly atMs: number }>();
  readonly #monotonicMs: () => number;

  constructor(ids: readonly string[], monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
    for (const id of ids) this.#peers.set(id, newPeer());
  }

  take(event: NetworkEvent): void {
    if (event.peer === null) return;
    if (event.type === 'refused' && event.direction === 'inbound' && event.code === 'DUPLICATE_NODE_ID') {
      this.#duplicates.set(event.peer, { reason: `${event.code}: ${event.reason}`, atMs: this.#monotonicMs() });
    }
    const peer = this.#peers.get(event.peer) ?? this.#met(event.peer, event);
    if (peer === null) return;
    switch (event.type) {
      case 'up':
        peer.up.add(event.channel);
        peer.refused = null;
        peer.turnedAway = null;
        break;
      case 'down':
        peer.up.delete(event.channel);
        break;
      case 'unreachable':
        peer.up.delete(event.channel);
        peer.turnedAway = null;
        break;
      case 'refused':
        peer.refused = `${event.code}: ${event.reason}`;
        if (event.direction === 'outbound') peer.turnedAway = event.code;
        break;
      default:
    }
  }

  /** A member that came later, by what our own dials to it have met; strangers who dial us leave no trace. */
  #met(id: string, event: NetworkEvent): Peer | null {
    const dialled = event.type === 'up' || event.type === 'unreachable' || (event.type === 'refused' && event.direction === 'outbound');
    if (!dialled) return null;
    const peer = newPeer();
    this.#peers.set(id, peer);
    return peer;
  }

  /** Both connections up; one of them, or it answers that this node was removed; or none. */
  health(id: string): 'ok' | 'suspect' | 'unreachable' {
    const up = this.#peers.get(id)?.up.size ?? 0;
    if (up === 2) return 'ok';
    return up === 1 || this.saysRemoved(id) ? 'suspect' : 'unreachable';
  }

  isUp(id: string): boolean {
    return (this.#peers.get(id)?.up.size ?? 0) > 0;
  }

  saysRemoved(id: string): boolean {
    return this.#peers.get(id)?.turnedAway === 'MEMBER_REMOVED';
  }

  anyUp(): boolean {
    return [...this.#peers.keys()].some((id) => this.isUp(id));
  }

  anySaysRemoved(): boolean {
    return [...this.#peers.values()].some(({ turnedAway }) => turnedAway === 'MEMBER_REMOVED');
  }

  isDuplicate(id: string): boolean {
    return this.#peers.get(id)?.turnedAway === 'DUPLICATE_NODE_ID';
  }

  /** Who has dialled here lately beside another process of the same node. */
  duplicates(): string[] {
    const sinceMs = this.#monotonicMs() - DUPLICATE_MS;
    return [...this.#duplicates.values()].filter(({ atMs }) => atMs >= sinceMs).map(({ reason }) => reason);
  }

  refusal(id: string): string | null {
    return this.#peers.get(id)?.refused ?? null;
  }
}

function newPeer(): Peer {
  return { up: new Set(), refused: null, turnedAway: null };
}
