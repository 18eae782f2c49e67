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
    const peer = event.peer === null ? undefined : this.#peers.get(event.peer);
    if (peer === undefined) return;
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

  /** Both connections up, one of them, or none. */
  health(id: string): 'ok' | 'suspect' | 'unreachable' {
    const up = this.#peers.get(id)?.up.size ?? 0;
    return up === 2 ? 'ok' : up === 1 ? 'suspect' : 'unreachable';
  }

  refusal(id: string): string | null {
    return this.#peers.get(id)?.refused ?? null;
  }
}
