/**
 * The network's view of the Rust core, which builds, checks and reads the frames; the network only moves their bytes.
 * `src/native` implements it. All calls are made on the network's own thread.
 */

/** 0 urgent (votes, heartbeats, small appends), 1 bulk. */
export type Channel = 0 | 1;

export const CHANNELS = [0, 1] as const satisfies readonly Channel[];

export interface PeerCore {
  /**
   * Starts delivery of outbound batches (docs/formats.md, "Outbound batches"). A batch holds everything one turn of the
   * protocol thread has to send, best as one run of frames per link; it belongs to the network from then on.
   */
  attach(onOutbound: (batch: Buffer) => void): void;
  detach(): void;
  /** A dialled connection passed the handshake: the core may send to it, packed by one of the compressions that it reads; `stubs` among them says that it knows of rules of replication. */
  linkUp(slot: number, channel: Channel, reads: readonly string[]): void;
  /** The link is gone, and with it whatever was written and not yet received. */
  linkDown(slot: number, channel: Channel): void;
  /** More is queued than the socket takes, so many bytes: the core holds further frames for this link until `linkDrained`. */
  linkBlocked(slot: number, channel: Channel, waitingBytes: number): void;
  linkDrained(slot: number, channel: Channel): void;
  /** An accepted and verified connection; `connection` is never used twice within a process. */
  inboundOpen(connection: number, peerNodeId: string, channel: Channel): void;
  /** Bytes as they came, valid during the call only. 0 is fine; anything else is a violation and closes the connection, 3 one in what was packed. */
  inboundData(connection: number, chunk: Uint8Array): number;
  inboundClosed(connection: number): void;
  /**
   * Has the system give up a TCP connection once nothing that was sent has been acknowledged for so long. By the system's number
   * of its socket; false where it cannot: it then takes many minutes over it.
   */
  giveUpAfter(descriptor: number, silenceMs: number): boolean;
}

/** What the module named by `coreModule` exports. */
export interface PeerCoreModule {
  openPeerCore(handle: number): PeerCore;
}
