/** What the network has told of each peer: whether it can be reached, and why it was refused. */
import type { NetworkEvent } from '../network/index.js';

interface Peer {
  readonly up: Set<number>;
  refused: string | null;
}

export class Links {
  readonly #peers = new Map<string, Peer>();

  constructor(ids: readonly string[]) {
    for (const id of ids) this.#peers.set(id, { up: new Set(), refused: null });
  }

  take(event: NetworkEvent): void {
    if (event.peer === null) return;
    const peer = this.#peers.get(event.peer) ?? this.#met(event.peer, event);
    if (peer === null) return;
    switch (event.type) {
      case 'up':
        peer.up.add(event.channel);
        peer.refused = null;
        break;
      case 'down':
      case 'unreachable':
        peer.up.delete(event.channel);
        break;
      case 'refused':
        peer.refused = `${event.code}: ${event.reason}`;
        break;
      default:
    }
  }

  /** A member that came later, by what our own dials to it have met; strangers who dial us leave no trace. */
  #met(id: string, event: NetworkEvent): Peer | null {
    const dialled = event.type === 'up' || event.type === 'unreachable' || (event.type === 'refused' && event.direction === 'outbound');
    if (!dialled) return null;
    const peer: Peer = { up: new Set(), refused: null };
    this.#peers.set(id, peer);
    return peer;
  }

  /** Both connections up, one of them, or none. */
  health(id: string): 'ok' | 'suspect' | 'unreachable' {
    const up = this.#peers.get(id)?.up.size ?? 0;
    return up === 2 ? 'ok' : up === 1 ? 'suspect' : 'unreachable';
  }

  refusal(id: string): string | null {
    return this.#peers.get(id)?.refused ?? null;
  }
}
