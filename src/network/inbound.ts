import type { Counters } from './counters.js';
import { decodeHello, encodeAnswer, FEATURES, type Hello, HandshakeError, HandshakeReader } from './hello.js';
import type { Identity } from './options.js';
import type { Channel, PeerCore } from './port.js';
import { limitSilence } from './silence.js';
import { machineOf, type Proof, type TransportStream } from './transport.js';
import { isOfCertificate, type LivePeer, type Refusal, type Verdict } from './verdict.js';

/** How long a refusal may take to reach the other side before the connection is cut. */
const LINGER_MS = 1_000;

/** The core's word for packed frames that are damaged, or that hold more than they may. */
const VIOLATION_IN_PACKED = 3;

export interface InboundOwner {
  readonly identity: Identity;
  readonly core: PeerCore;
  readonly counters: Counters;
  readonly handshakeTimeoutMs: number;
  readonly silenceMaxMs: number;
  /** Of what the connection proves, before anything that it says is read; null where nothing is against it. */
  judgeProof(proof: Proof | null): Refusal | null;
  judge(hello: Hello, place: string, proof: Proof | null): Verdict;
  /** The connection is about to be opened in the core: those it replaces must be closed now. */
  accepted(inbound: Inbound, hello: Hello, protocol: number): void;
  refused(inbound: Inbound, hello: Hello | null, refusal: Refusal): void;
  /** Once for each connection; `hello` is null where the handshake never succeeded. */
  gone(inbound: Inbound, hello: Hello | null, reason: string): void;
}

type Speaker = Pick<Identity, 'clusterId' | 'nodeId' | 'incarnation' | 'directory' | 'life'>;
const NOBODY: Speaker = { clusterId: '', nodeId: '', incarnation: 0n, directory: new Uint8Array() };

type Stage = 'handshake' | 'refusing' | 'open' | 'closed';

/** One accepted connection: its handshake, then bytes for the core. It only receives. */
export class Inbound {
  readonly connection: number;
  readonly remote: string;
  /** The other machine, without a port: one of an outgoing connection is another every time, and names nothing. */
  readonly place: string;
  readonly #stream: TransportStream['stream'];
  readonly #proof: TransportStream['proof'];
  readonly #owner: InboundOwner;
  readonly #reader = new HandshakeReader();
  #stage: Stage = 'handshake';
  #hello: Hello | null = null;
  #timer: NodeJS.Timeout;
  #error: string | null = null;

  /** `handshakeMs`: how long it still has to say who it is. */
  constructor(connection: number, accepted: TransportStream, owner: InboundOwner, handshakeMs = owner.handshakeTimeoutMs) {
    this.connection = connection;
    this.remote = accepted.remote;
    this.place = machineOf(accepted.remote);
    this.#stream = accepted.stream;
    this.#proof = accepted.proof;
    this.#owner = owner;
    this.#timer = setTimeout(() => {
      owner.counters.add('handshakeTimeouts');
      this.drop(`no handshake within ${owner.handshakeTimeoutMs} ms`);
    }, handshakeMs);
    this.#stream.on('data', (chunk: Buffer) => this.#onData(chunk));
    this.#stream.on('error', (error) => (this.#error ??= error.message));
    this.#stream.once('end', () => this.#onEnd());
    this.#stream.once('close', () => this.drop(this.#error ?? 'the peer closed the connection'));
  }

  /** Refuses or closes a connection whose certificate is not believed, or is believed no more. Called once it is among its owner's. */
  check(): void {
    const refusal = this.#owner.judgeProof(this.#proof());
    if (refusal === null) return;
    if (this.#stage !== 'handshake' && this.#stage !== 'open') return;
    this.#count(refusal);
    this.#owner.refused(this, this.#hello, refusal);
    if (this.#stage === 'open') this.drop(refusal.reason);
    // Who refuses is not for it to know.
    else this.#refuse(refusal, NOBODY);
  }

  /** What the other side said of itself; null before it was accepted. */
  get hello(): Hello | null {
    return this.#hello;
  }

  /** Who is at the other end, once it was accepted. */
  get live(): LivePeer | null {
    return this.#hello === null ? null : { ...this.#hello, place: this.place };
  }

  /** Closes the connection at once. Twice does no harm. */
  drop(reason: string): void {
    if (this.#stage === 'closed') return;
    const wasOpen = this.#stage === 'open';
    this.#stage = 'closed';
    clearTimeout(this.#timer);
    this.#stream.destroy();
    if (wasOpen) this.#owner.core.inboundClosed(this.connection);
    this.#owner.gone(this, this.#hello, reason);
  }

  #onData(chunk: Uint8Array): void {
    if (this.#stage === 'open') this.#deliver(chunk);
    else if (this.#stage === 'handshake') this.#onHandshake(chunk);
    // While refusing, what still comes is read and forgotten, so that the answer is not lost to a reset.
  }

  #deliver(chunk: Uint8Array): void {
    const { core, counters } = this.#owner;
    counters.add('bytesReceived', chunk.length);
    const violation = core.inboundData(this.connection, chunk);
    if (violation === 0) return;
    counters.add('protocolErrors');
    if (violation === VIOLATION_IN_PACKED) counters.add('compressionErrors');
    this.drop(`the core rejected what the peer sent (violation ${violation})`);
  }

  #onHandshake(chunk: Uint8Array): void {
    const { counters } = this.#owner;
    let message: { hello: Hello; rest: Uint8Array };
    try {
      const read = this.#reader.push(chunk);
      if (read === null) return;
      message = { hello: decodeHello(read.body), rest: read.rest };
    } catch (error) {
      if (!(error instanceof HandshakeError)) throw error;
      counters.add('protocolErrors');
      const refusal: Refusal = { code: 'PROTOCOL_ERROR', reason: error.message };
      this.#owner.refused(this, null, refusal);
      // Whoever does not begin as a peer gets no answer.
      if (error.answerable) this.#refuse(refusal);
      else this.drop(error.message);
      return;
    }
    const { hello, rest } = message;
    const verdict = this.#owner.judge(hello, this.place, this.#proof());
    if (!verdict.accepted) {
      this.#count(verdict);
      this.#owner.refused(this, hello, verdict);
      this.#refuse(verdict);
      return;
    }
    clearTimeout(this.#timer);
    this.#owner.accepted(this, hello, verdict.protocol);
    this.#hello = hello;
    this.#stage = 'open';
    limitSilence(this.#stream, this.#owner.core, this.#owner.silenceMaxMs);
    this.#owner.core.inboundOpen(this.connection, hello.nodeId, hello.channel as Channel);
    this.#stream.write(this.#answer({ accepted: true, protocol: verdict.protocol, code: '', reason: '' }));
    if (rest.length > 0) this.#deliver(rest);
  }

  #count({ code }: Refusal): void {
    const { counters } = this.#owner;
    counters.add('refusedInbound');
    if (isOfCertificate(code)) counters.add('certificatesRefused');
  }

  #refuse(refusal: Refusal, identity: Speaker = this.#owner.identity): void {
    this.#stage = 'refusing';
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.drop(refusal.reason), LINGER_MS);
    this.#stream.end(this.#answer({ accepted: false, protocol: 0, code: refusal.code, reason: refusal.reason }, identity));
  }

  #onEnd(): void {
    // Who has ended sends nothing more; a new process of it may dial before the socket has closed.
    if (this.#stage === 'open') this.drop('the peer closed the connection');
    if (this.#stage !== 'handshake' || this.#reader.empty) return;
    this.#owner.counters.add('protocolErrors');
    this.drop('the connection ended within the handshake');
  }

  #answer(outcome: { accepted: boolean; protocol: number; code: string; reason: string }, identity: Speaker = this.#owner.identity): Buffer {
    return encodeAnswer({ ...identity, ...outcome, life: identity.life ?? 0n, features: FEATURES });
  }
}
