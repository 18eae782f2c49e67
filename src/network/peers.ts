/**
 * The peer network on one thread: dials every peer on both channels and sends there, accepts dials and receives from them.
 * Knows nothing of what the bytes mean, and nothing of Workers (`worker.ts`, `host.ts`).
 */
import { CoordinatorError } from '../errors/index.js';
import { LIMITS } from '../contracts/limits.js';
import { Acceptor } from './acceptor.js';
import { eachRun } from './batch.js';
import { Counters } from './counters.js';
import type { Credentials } from './credentials.js';
import type { NetworkEvent } from './events.js';
import { DIRECTORY_BYTES, type Hello, type Neighbour } from './hello.js';
import { type LinkContext, OutboundLink } from './link.js';
import { DEFAULT_TIMING, GUESTS_MAX, NEIGHBOURS_BYTES_MAX, type NetworkMember, type NetworkMembers, type NetworkOptions, type NetworkTable, type PeerAddress } from './options.js';
import { type Channel, CHANNELS, type PeerCore } from './port.js';
import { type Address, formatAddress, type Transport } from './transport.js';
import { openTransport } from './transports.js';
import type { LivePeer, Standing } from './verdict.js';

export interface PeersPorts {
  readonly core: PeerCore;
  onEvent(event: NetworkEvent): void;
  /** Numbers in [0, 1), for jitter. */
  random(): number;
  readonly counters?: Counters;
}

/** Tags and lengths of a neighbour within a Hello, at most. */
const NEIGHBOUR_OVERHEAD_BYTES = 10;

/** Hosts that stand for every address of a machine: no other machine can dial them. */
const UNSPECIFIED: readonly string[] = ['0.0.0.0', '::'];

/** Times `refusedRetryMs` that a process has to show that it is alive: one that is refused meanwhile has not tried often. */
const CHALLENGE_RETRIES = 2;

export class Peers {
  readonly counters: Counters;
  readonly #options: NetworkOptions;
  readonly #core: PeerCore;
  readonly #acceptor: Acceptor;
  readonly #transport: Transport;
  /** Empty for everybody. */
  readonly #allowed: ReadonlySet<string>;
  /** By slot and channel, see `linkIndex`. */
  readonly #links = new Map<number, OutboundLink>();
  readonly #linksOf = new Map<string, OutboundLink[]>();
  readonly #context: LinkContext;
  /** Who may dial us; those with an address have links too. */
  #accepted: ReadonlySet<string>;
  #removed: ReadonlySet<string> = new Set();
  #table: NetworkTable;
  /** Where others can dial this node; empty while nobody knows. */
  #listen = '';
  #neighbours: readonly Neighbour[];
  /** Links that took bytes in the batch at hand. */
  readonly #touched = new Set<OutboundLink>();
  #attached = false;
  #closing: Promise<void> | null = null;

  /** Throws CoordinatorError `CONFIG_INVALID`. */
  constructor(options: NetworkOptions, ports: PeersPorts) {
    checkOptions(options);
    this.#options = options;
    this.#core = ports.core;
    this.counters = ports.counters ?? new Counters();
    const { identity, protocol, peerBytesMax } = options;
    const timing = { ...DEFAULT_TIMING, ...options.timing };
    const { credentials = null } = options;
    const transport = openTransport(credentials);
    const emit = (event: NetworkEvent) => ports.onEvent(event);
    const acceptor = new Acceptor({
      identity,
      protocol,
      transport,
      handshakeTimeoutMs: timing.handshakeTimeoutMs,
      silenceMaxMs: timing.silenceMaxMs,
      core: ports.core,
      counters: this.counters,
      emit,
      standing: (hello) => this.#standing(hello),
      outboundOf: (nodeId) => this.#outboundOf(nodeId),
      challengeMs: CHALLENGE_RETRIES * timing.refusedRetryMs,
      onAccepted: (nodeId) => this.#onAccepted(nodeId),
      onChallenged: (nodeId, older) => {
        for (const link of this.#linksOf.get(nodeId) ?? []) link.challenge(older);
      },
    });
    this.#acceptor = acceptor;
    this.#context = {
      identity,
      protocol,
      peerBytesMax,
      timing,
      transport,
      core: ports.core,
      counters: this.counters,
      random: () => ports.random(),
      said: () => ({ listen: this.#listen, tableVersion: this.#table.version, neighbours: this.#neighbours }),
      emit,
      inboundOf: (nodeId: string) => acceptor.inboundOf(nodeId),
    };
    this.#transport = transport;
    this.#allowed = new Set(options.allowedPeers);
    this.#accepted = new Set(options.peers.map((peer) => peer.nodeId));
    this.#neighbours = neighboursOf(options.peers.map((peer) => ({ ...peer, address: peer })));
    this.#table = options.table ?? { version: 0n, empty: false };
    for (const peer of options.peers) if (this.#isAllowed(peer.nodeId)) this.#addLinks(peer);
  }

  /** New connections prove themselves with these; those that are open go on, but for whom they do not believe. */
  renew(credentials: Credentials): void {
    if (this.#closing !== null) return;
    this.#transport.renew?.(credentials);
    this.#acceptor.recheck();
    for (const link of this.#links.values()) link.check();
  }

  #isAllowed(nodeId: string): boolean {
    return this.#allowed.size === 0 || this.#allowed.has(nodeId);
  }

  /** Takes over who belongs to the cluster: new members are dialled, moved ones anew, and who is gone is let go of. */
  setMembers({ members, removed, guests, table }: NetworkMembers): void {
    if (this.#closing !== null) return;
    this.#accepted = new Set(members.map((member) => member.nodeId));
    this.#removed = new Set(removed);
    this.#table = table;
    this.#neighbours = neighboursOf(members);
    for (const nodeId of removed) this.#acceptor.dismiss(nodeId, 'the peer was removed from the cluster');
    for (const hello of this.#acceptor.diallers()) {
      if (!this.#accepted.has(hello.nodeId) && !this.#mayKnowBetter(hello)) this.#acceptor.dismiss(hello.nodeId, 'the peer is not in the table of members that has come');
    }
    const dialled = new Map([...members, ...guests].flatMap(({ slot, nodeId, address }) => (address === null || !this.#isAllowed(nodeId) ? [] : [[nodeId, { slot, nodeId, ...address }] as const])));
    for (const [nodeId, links] of [...this.#linksOf]) {
      const wanted = dialled.get(nodeId);
      if (wanted === undefined || links.some(({ peer }) => formatAddress(peer) !== formatAddress(wanted))) this.#dropLinks(nodeId, links);
    }
    for (const [nodeId, peer] of dialled) {
      if (this.#linksOf.has(nodeId)) continue;
      for (const link of this.#addLinks(peer)) if (this.#attached) link.dial();
    }
  }

  #standing(hello: Hello): Standing {
    const { nodeId } = hello;
    if (this.#removed.has(nodeId)) return 'removed';
    if (!this.#isAllowed(nodeId)) return 'not allowed';
    if (this.#accepted.has(nodeId)) return 'member';
    const guests = new Set(this.#acceptor.diallers().flatMap((other) => (this.#accepted.has(other.nodeId) ? [] : [other.nodeId])));
    return this.#mayKnowBetter(hello) && (guests.has(nodeId) || guests.size < GUESTS_MAX) ? 'guest' : 'unknown';
  }

  /** Whether who is not known here may be a member all the same: this node's table is old, or has not come yet. */
  #mayKnowBetter({ tableVersion }: Hello): boolean {
    return this.#table.empty || tableVersion > this.#table.version;
  }

  #addLinks(peer: PeerAddress): OutboundLink[] {
    const links = CHANNELS.map((channel) => new OutboundLink(peer, channel, this.#context));
    for (const link of links) this.#links.set(linkIndex(peer.slot, link.channel), link);
    this.#linksOf.set(peer.nodeId, links);
    return links;
  }

  #dropLinks(nodeId: string, links: readonly OutboundLink[]): void {
    this.#linksOf.delete(nodeId);
    for (const link of links) {
      this.#links.delete(linkIndex(link.peer.slot, link.channel));
      void link.close();
    }
  }

  /** Resolves with the bound address once listening; dialling has begun by then. Rejects with `PORT_IN_USE` or `CONFIG_INVALID`. */
  async start(): Promise<Address> {
    let address: Address;
    try {
      address = await this.#acceptor.listen(this.#options.listen);
    } catch (error) {
      throw listenError(this.#options.listen, error);
    }
    this.#listen = 'host' in address && UNSPECIFIED.includes(address.host) ? '' : formatAddress(address);
    if (this.#closing !== null) {
      await this.#acceptor.close();
      throw new CoordinatorError('CLOSED', 'the peer network was closed while it started');
    }
    this.#attached = true;
    this.#core.attach((batch) => this.#onOutbound(batch));
    for (const link of this.#links.values()) link.dial();
    return address;
  }

  /** Closes every socket, then detaches from the core. Twice does no harm. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.all([this.#acceptor.close(), ...[...this.#links.values()].map((link) => link.close())]);
    if (this.#attached) this.#core.detach();
  }

  #onOutbound(batch: Buffer): void {
    this.counters.add('batches');
    let sent = 0;
    eachRun(batch, (slot, channel, bytes) => {
      const link = this.#links.get(linkIndex(slot, channel));
      if (link?.send(bytes)) {
        sent += bytes.length;
        this.#touched.add(link);
      } else {
        this.counters.add('bytesDropped', bytes.length);
      }
    });
    this.counters.add('bytesSent', sent);
    for (const link of this.#touched) link.flush();
    this.#touched.clear();
  }

  *#outboundOf(nodeId: string): Iterable<LivePeer> {
    for (const link of this.#linksOf.get(nodeId) ?? []) if (link.live !== null) yield link.live;
  }

  /** A peer that dials us is up: what waits in backoff for it need not. */
  #onAccepted(nodeId: string): void {
    for (const link of this.#linksOf.get(nodeId) ?? []) link.dialNow();
  }
}

/** As many as there is room for. */
function neighboursOf(members: readonly NetworkMember[]): Neighbour[] {
  let room = NEIGHBOURS_BYTES_MAX;
  return members.flatMap(({ nodeId, address }) => {
    if (address === null) return [];
    const told = { nodeId, address: formatAddress(address) };
    room -= Buffer.byteLength(nodeId) + Buffer.byteLength(told.address) + NEIGHBOUR_OVERHEAD_BYTES;
    return room < 0 ? [] : [told];
  });
}

function linkIndex(slot: number, channel: Channel): number {
  return slot * CHANNELS.length + channel;
}

const SLOT_MAX = 0xffff;

function checkOptions(options: NetworkOptions): void {
  const mistakes: string[] = [];
  const { identity, protocol, peers, peerBytesMax } = options;
  if (identity.directory.length !== DIRECTORY_BYTES) mistakes.push(`the directory id has ${identity.directory.length} bytes; it needs ${DIRECTORY_BYTES}`);
  if (protocol.min < 1 || protocol.min > protocol.max) mistakes.push(`protocol ${protocol.min} to ${protocol.max} is no range of versions`);
  if (!(peerBytesMax > 0)) mistakes.push(`peerBytesMax is ${peerBytesMax}; it must be positive`);
  const slots = new Set<number>();
  const names = new Set<string>([identity.nodeId]);
  for (const name of [identity.nodeId, ...peers.map((peer) => peer.nodeId)]) {
    const bytes = Buffer.byteLength(name);
    if (bytes < 1 || bytes > LIMITS.nodeIdBytesMax) mistakes.push(`node id ${JSON.stringify(name)} has ${bytes} bytes; 1 to ${LIMITS.nodeIdBytesMax} are allowed`);
  }
  for (const { slot, nodeId } of peers) {
    if (!Number.isInteger(slot) || slot < 0 || slot > SLOT_MAX || slots.has(slot)) mistakes.push(`slot ${slot} of peer ${JSON.stringify(nodeId)} is taken or out of range`);
    if (names.has(nodeId)) mistakes.push(`node id ${JSON.stringify(nodeId)} is used twice`);
    slots.add(slot);
    names.add(nodeId);
  }
  if (mistakes.length > 0) throw new CoordinatorError('CONFIG_INVALID', mistakes.join('; '), { details: { mistakes } });
}

function listenError(address: Address, cause: unknown): CoordinatorError {
  const at = formatAddress(address);
  if ((cause as NodeJS.ErrnoException | null)?.code === 'EADDRINUSE') {
    return new CoordinatorError('PORT_IN_USE', `another process listens on ${at}, the address for peers`, { details: { address: at }, cause });
  }
  const why = cause instanceof Error ? cause.message : String(cause);
  return new CoordinatorError('CONFIG_INVALID', `cannot listen for peers on ${at}: ${why}`, { details: { address: at }, cause });
}
