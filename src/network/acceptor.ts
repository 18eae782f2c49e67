import { Arriving } from './arriving.js';
import { CHALLENGED, Challenges } from './challenges.js';
import type { Counters } from './counters.js';
import type { NetworkEvent } from './events.js';
import type { Hello } from './hello.js';
import { Inbound, type InboundOwner } from './inbound.js';
import { HANDSHAKES_MAX, type Identity, type ProtocolRange } from './options.js';
import type { Channel, PeerCore } from './port.js';
import type { Address, Arrival, Proof, Transport, TransportListener, TransportStream } from './transport.js';
import { judgeHello, judgeProof, type LivePeer, type Refusal, type Standing, type Verdict } from './verdict.js';

/** Refusals of foreign dials that are reported in one second; more are only counted. */
const REPORTS_PER_SECOND_MAX = 16;

export interface AcceptorContext {
  readonly identity: Identity;
  readonly protocol: ProtocolRange;
  readonly handshakeTimeoutMs: number;
  readonly silenceMaxMs: number;
  /** How long a process has to dial again before another one may take its place. */
  readonly challengeMs: number;
  readonly transport: Transport;
  readonly core: PeerCore;
  readonly counters: Counters;
  emit(event: NetworkEvent): void;
  standing(hello: Hello): Standing;
  /** Dialled connections that are up to that node. */
  outboundOf(nodeId: string): Iterable<LivePeer>;
  onAccepted(nodeId: string): void;
  /** What was dialled to that process is to be dialled anew. */
  onChallenged(nodeId: string, older: LivePeer): void;
}

/** The listening side: accepts, checks, replaces, and keeps the accepted connections. */
export class Acceptor implements InboundOwner {
  readonly identity: Identity;
  readonly core: PeerCore;
  readonly counters: Counters;
  readonly handshakeTimeoutMs: number;
  readonly silenceMaxMs: number;
  readonly #context: AcceptorContext;
  /** In order of arrival. Invariant: none of them is in `#open`. */
  readonly #handshakes = new Set<Arriving | Inbound>();
  /** Invariant: its values are in `#handshakes`. */
  readonly #arriving = new Map<Arrival, Arriving>();
  /** Invariant: at most one a channel for each node id, and all of one node id are of one process. */
  readonly #open = new Map<string, Inbound[]>();
  readonly #challenges: Challenges;
  #listener: TransportListener | null = null;
  #closing = false;
  #connections = 0;
  #reportWindow = 0;
  #reportsInWindow = 0;

  constructor(context: AcceptorContext) {
    this.#context = context;
    this.identity = context.identity;
    this.core = context.core;
    this.counters = context.counters;
    this.handshakeTimeoutMs = context.handshakeTimeoutMs;
    this.silenceMaxMs = context.silenceMaxMs;
    this.#challenges = new Challenges(context.challengeMs);
  }

  /** Resolves with the bound address; rejects with the system's error. */
  async listen(address: Address): Promise<Address> {
    this.#listener = await this.#context.transport.listen(address, {
      onArrival: (arrival) => this.#onArrival(arrival),
      onStream: (accepted, arrival) => this.#onStream(accepted, arrival),
      onLost: (arrival, reason) => this.#onLost(arrival, reason),
      onError: () => this.counters.add('acceptErrors'),
    });
    return this.#listener.address;
  }

  async close(): Promise<void> {
    this.#closing = true;
    const listening = this.#listener?.close();
    for (const one of [...this.#handshakes, ...[...this.#open.values()].flat()]) one.drop('this node is closing its network');
    await listening;
  }

  /** What is believed has changed. */
  recheck(): void {
    for (const one of [...this.#handshakes, ...[...this.#open.values()].flat()]) if (one instanceof Inbound) one.check();
  }

  /** Closes what a node has open here; it belongs to the cluster no more. */
  dismiss(nodeId: string, reason: string): void {
    for (const inbound of [...(this.#open.get(nodeId) ?? [])]) inbound.drop(reason);
  }

  /** What those with connections open here have said of themselves, one for each of their connections. */
  diallers(): Hello[] {
    return [...this.#open.values()].flat().flatMap(({ hello }) => (hello === null ? [] : [hello]));
  }

  /** Who has connections open here, or is awaited. */
  *inboundOf(nodeId: string): Iterable<LivePeer> {
    for (const inbound of this.#open.get(nodeId) ?? []) if (inbound.live !== null) yield inbound.live;
    yield* this.#challenges.awaited(nodeId, performance.now());
  }

  judgeProof(proof: Proof | null): Refusal | null {
    return judgeProof(proof, this.identity);
  }

  judge(hello: Hello, place: string, proof: Proof | null): Verdict {
    const { identity, protocol, standing, outboundOf } = this.#context;
    // What was dialled first: it knows the address that the peer listens on.
    const live = [...outboundOf(hello.nodeId), ...this.inboundOf(hello.nodeId)];
    const verdict = judgeHello(hello, place, identity, protocol, standing, live, proof);
    if (!verdict.accepted && verdict.older !== undefined) this.#challenge(hello, verdict.older);
    return verdict;
  }

  #challenge({ nodeId, life }: Hello, older: LivePeer): void {
    if (!this.#challenges.begin(nodeId, older, life, performance.now())) return;
    for (const inbound of [...(this.#open.get(nodeId) ?? [])]) inbound.drop(CHALLENGED);
    this.#context.onChallenged(nodeId, older);
  }

  accepted(inbound: Inbound, hello: Hello, protocol: number): void {
    this.#leaveHandshake(inbound);
    for (const older of [...(this.#open.get(hello.nodeId) ?? [])]) {
      if (older.hello?.channel === hello.channel) older.drop('replaced by a newer connection of the same peer');
    }
    this.#open.set(hello.nodeId, [...(this.#open.get(hello.nodeId) ?? []), inbound]);
    this.counters.add('accepted');
    this.counters.add('inboundNow');
    const { incarnation, listen, tableVersion, neighbours } = hello;
    this.#context.emit({ type: 'accepted', protocol, incarnation, listen, tableVersion, neighbours, ...nameOf(inbound, hello) });
    this.#context.onAccepted(hello.nodeId);
  }

  refused(inbound: Inbound, hello: Hello | null, refusal: Refusal): void {
    this.#report(inbound.remote, hello, refusal);
  }

  #report(remote: string, hello: Hello | null, { code, reason }: Refusal): void {
    const second = Math.floor(performance.now() / 1_000);
    if (second !== this.#reportWindow) {
      this.#reportWindow = second;
      this.#reportsInWindow = 0;
    }
    this.#reportsInWindow += 1;
    if (this.#reportsInWindow > REPORTS_PER_SECOND_MAX) return;
    this.#context.emit({
      type: 'refused',
      direction: 'inbound',
      peer: hello?.nodeId ?? null,
      channel: hello === null ? null : (hello.channel as Channel),
      remote,
      code,
      reason,
    });
  }

  gone(inbound: Inbound, hello: Hello | null, reason: string): void {
    this.#leaveHandshake(inbound);
    if (hello === null) return;
    const left = (this.#open.get(hello.nodeId) ?? []).filter((other) => other !== inbound);
    if (left.length === 0) this.#open.delete(hello.nodeId);
    else this.#open.set(hello.nodeId, left);
    this.counters.add('inboundNow', -1);
    this.#context.emit({ type: 'closed', reason, ...nameOf(inbound, hello) });
  }

  #onArrival(arrival: Arrival): void {
    if (this.#closing) {
      arrival.destroy();
      return;
    }
    const arriving = new Arriving(arrival, this.handshakeTimeoutMs, {
      onTimeout: () => this.counters.add('handshakeTimeouts'),
      onEnd: () => {
        this.#arriving.delete(arrival);
        this.#leaveHandshake(arriving);
      },
    });
    this.#arriving.set(arrival, arriving);
    this.#enterHandshake(arriving);
  }

  #onLost(arrival: Arrival, reason: string | null): void {
    const arriving = this.#arriving.get(arrival);
    if (arriving === undefined) return;
    arriving.end();
    // Who only looks whether somebody listens has done nothing wrong.
    if (reason === null) return;
    this.counters.add('tlsErrors');
    this.#report(arrival.remote, null, { code: 'PROTOCOL_ERROR', reason });
  }

  #onStream(accepted: TransportStream, arrival: Arrival | null): void {
    const arriving = arrival === null ? null : this.#arriving.get(arrival);
    // An arrival that was dropped meanwhile has no place any more.
    if (this.#closing || arriving === undefined) {
      accepted.stream.destroy();
      return;
    }
    const leftMs = arriving?.end();
    this.#connections += 1;
    const inbound = new Inbound(this.#connections, accepted, this, leftMs);
    this.#enterHandshake(inbound);
    inbound.check();
  }

  #enterHandshake(one: Arriving | Inbound): void {
    if (this.#handshakes.size >= HANDSHAKES_MAX) {
      // The oldest has had the most time; refusing the newest would let a few idle connections lock every peer out.
      const [oldest] = this.#handshakes;
      this.counters.add('handshakesDisplaced');
      oldest?.drop('too many connections are in their handshake');
    }
    this.#handshakes.add(one);
    this.counters.add('handshakesNow');
  }

  #leaveHandshake(one: Arriving | Inbound): void {
    if (this.#handshakes.delete(one)) this.counters.add('handshakesNow', -1);
  }
}

function nameOf(inbound: Inbound, hello: Hello): { connection: number; peer: string; channel: Channel; remote: string } {
  return { connection: inbound.connection, peer: hello.nodeId, channel: hello.channel as Channel, remote: inbound.remote };
}
