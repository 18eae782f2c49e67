/** What the network has told of each peer: whether it can be reached, and why it was refused. */
import type { NetworkEvent } from '../network/index.js';

interface Peer {
  readonly up: Set<number>;
  refused: string | null;
  /** It refuses this node as removed from the cluster. */
  saysRemoved: boolean;
}

export class Links {
  readonly #peers = new Map<string, Peer>();

  constructor(ids: readonly string[]) {
    for (const id of ids) this.#peers.set(id, newPeer());
  }

  take(event: NetworkEvent): void {
    if (event.peer === null) return;
    const peer = this.#peers.get(event.peer) ?? this.#met(event.peer, event);
    if (peer === null) return;
    switch (event.type) {
      case 'up':
        peer.up.add(event.channel);
        peer.refused = null;
        peer.saysRemoved = false;
        break;
      case 'down':
        peer.up.delete(event.channel);
        break;
      case 'unreachable':
        peer.up.delete(event.channel);
        peer.saysRemoved = false;
        break;
      case 'refused':
        peer.refused = `${event.code}: ${event.reason}`;
        if (event.direction === 'outbound') peer.saysRemoved = event.code === 'MEMBER_REMOVED';
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
    return this.#peers.get(id)?.saysRemoved ?? false;
  }

  anySaysRemoved(): boolean {
    return [...this.#peers.values()].some(({ saysRemoved }) => saysRemoved);
  }

  refusal(id: string): string | null {
    return this.#peers.get(id)?.refused ?? null;
  }
}

function newPeer(): Peer {
  return { up: new Set(), refused: null, saysRemoved: false };
}
