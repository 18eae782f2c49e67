import type { Credentials } from './credentials.js';
import type { Address } from './transport.js';

/** Who this member is, as its peers see it. */
export interface Identity {
  readonly clusterId: string;
  readonly nodeId: string;
  /** Grows with every start from the same data directory (u64). */
  readonly incarnation: bigint;
  /** Identity of the data directory, 16 bytes. */
  readonly directory: Uint8Array;
  /** Drawn anew by every process: two with one incarnation of one directory are told apart by it. 0 or absent is unknown. */
  readonly life?: bigint;
  /** Settings that must be equal on all members, as one line of text; a member with others is refused. */
  readonly settings?: string;
}

export type PeerAddress = Address & {
  /** The core's number for this peer in outbound batches, 0 to 65,535. */
  readonly slot: number;
  readonly nodeId: string;
};

/** A member as the network is to treat it from now on. */
export interface NetworkMember {
  readonly slot: number;
  readonly nodeId: string;
  /** Null where nobody knows it: the member may dial us, we cannot dial it. */
  readonly address: Address | null;
}

/** The agreed table of members, as far as this node has it. */
export interface NetworkTable {
  readonly version: bigint;
  /** Nobody is in it: this node waits to be added. */
  readonly empty: boolean;
}

/** Everyone who belongs to the cluster, this node left out, and who does no more. */
export interface NetworkMembers {
  /** The first are told to others first. */
  readonly members: readonly NetworkMember[];
  readonly removed: readonly string[];
  /** Who was accepted though this node does not know it, and is dialled back: its connections stand by what it says of itself. */
  readonly guests: readonly NetworkMember[];
  readonly table: NetworkTable;
}

export interface ProtocolRange {
  readonly min: number;
  readonly max: number;
}

export interface Timing {
  /** From the first byte possible to the last one needed, for either side. */
  readonly handshakeTimeoutMs: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** A refused dial waits between one and two times this. */
  readonly refusedRetryMs: number;
  /** A connection is given up once nothing that was sent has been acknowledged for so long. */
  readonly silenceMaxMs: number;
}

export const DEFAULT_TIMING: Timing = {
  handshakeTimeoutMs: 5_000,
  backoffMinMs: 20,
  backoffMaxMs: 1_000,
  refusedRetryMs: 1_000,
  silenceMaxMs: 5_000,
};

/** Diallers unknown here that may be connected at once: as many as a cluster has members. */
export const GUESTS_MAX = 64;

/** What a Hello may say of others: half of a handshake message. */
export const NEIGHBOURS_BYTES_MAX = 2_048;

/** Connections that may be in their handshake at once; the oldest makes room for the newest. */
export const HANDSHAKES_MAX = 64;

/** Everything the network needs, as plain data: it crosses into the Worker. */
export interface NetworkOptions {
  readonly identity: Identity;
  readonly listen: Address;
  readonly peers: readonly PeerAddress[];
  /** Bytes that may wait in one connection's socket before it is given up and dialled anew. */
  readonly peerBytesMax: number;
  readonly protocol: ProtocolRange;
  readonly timing?: Partial<Timing>;
  /** What this member proves itself with, over TLS; without it connections are plain and prove nothing. */
  readonly credentials?: Credentials;
  /** The only ones that are dialled and accepted, of those who belong to the cluster; all of them where it is empty. */
  readonly allowedPeers?: readonly string[];
  /** As it is at the start. Where it is not given nobody unknown is accepted until `setMembers` says more. */
  readonly table?: NetworkTable;
}
