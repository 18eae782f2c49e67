/** The network's door into the core; the network's Worker loads this module by its address. */
import { addon } from './addon.js';
import { CODECS, numberOf } from './compression.js';

/** The port that `src/network` asks for, over the open node `handle`. */
export function openPeerCore(handle: number) {
  const native = addon();
  let token: number | null = null;
  return {
    attach(onOutbound: (batch: Buffer) => void): void {
      token = native.attachPeer(handle, (batch) => {
        // The core may call once more than it has something to send.
        if (batch.length > 0) onOutbound(batch);
      });
    },
    detach(): void {
      if (token !== null) native.detachPeer(handle, token);
      token = null;
    },
    linkUp: (slot: number, channel: number, reads: readonly string[]): void => native.linkUp(handle, slot, channel, bitsOf(reads)),
    linkDown: (slot: number, channel: number): void => native.linkDown(handle, slot, channel),
    linkBlocked: (slot: number, channel: number, waitingBytes: number): void => native.linkBlocked(handle, slot, channel, waitingBytes),
    linkDrained: (slot: number, channel: number): void => native.linkDrained(handle, slot, channel),
    inboundOpen: (connection: number, peerNodeId: string): void => native.inboundOpen(handle, connection, peerNodeId),
    inboundData: (connection: number, chunk: Uint8Array): number => native.inboundData(handle, connection, chunk),
    inboundClosed: (connection: number): void => native.inboundClosed(handle, connection),
    giveUpAfter: (descriptor: number, silenceMs: number): boolean => native.giveUpAfter(descriptor, silenceMs),
  };
}

/** The bit that says that the other side knows of stubs. */
const STUBS = 0x80;

/** Compressions by their names, 1 shifted by the number of each, and stubs; unknown names are left out. */
function bitsOf(names: readonly string[]): number {
  return CODECS.filter((codec) => names.includes(codec)).reduce((bits, codec) => bits | (1 << numberOf(codec)), names.includes('stubs') ? STUBS : 0);
}
