import type { Counters } from './counters.js';
import { decodeHello, encodeAnswer, type Hello, HandshakeError, HandshakeReader } from './hello.js';
import type { Identity } from './options.js';
import type { Channel, PeerCore } from './port.js';
import type { TransportStream } from './transport.js';
import type { LivePeer, Refusal, Verdict } from './verdict.js';

/** How long a refusal may take to reach the other side before the connection is cut. */
const LINGER_MS = 1_000;

export interface InboundOwner {
  readonly identity: Identity;
  readonly core: PeerCore;
  readonly counters: Counters;
  readonly handshakeTimeoutMs: number;
  judge(hello: Hello, place: string): Verdict;
  /** The connection is about to be opened in the core: those it replaces must be closed now. */
  accepted(inbound: Inbound, hello: Hello, protocol: number): void;
  refused(inbound: Inbound, hello: Hello | null, refusal: Refusal): void;
  /** Once for each connection; `hello` is null where the handshake never succeeded. */
  gone(inbound: Inbound, hello: Hello | null, reason: string): void;
}

type Stage = 'handshake' | 'refusing' | 'open' | 'closed';

/** One accepted connection: its handshake, then bytes for the core. It only receives. */
export class Inbound {
  readonly connection: number;
  readonly remote: string;
  /** The other machine, without a port: one of an outgoing connection is another every time, and names nothing. */
  readonly place: string;
  readonly #stream: TransportStream['stream'];
  readonly #owner: InboundOwner;
  readonly #reader = new HandshakeReader();
  #stage: Stage = 'handshake';
  #hello: Hello | null = null;
  #timer: NodeJS.Timeout;
  #error: string | null = null;

  constructor(connection: number, accepted: TransportStream, owner: InboundOwner) {
    this.connection = connection;
    this.remote = accepted.remote;
    this.place = accepted.remote.replace(/:\d+$/, '');
    this.#stream = accepted.stream;
    this.#owner = owner;
    this.#timer = setTimeout(() => {
      owner.counters.add('handshakeTimeouts');
      this.drop(`no handshake within ${owner.handshakeTimeoutMs} ms`);
    }, owner.handshakeTimeoutMs);
    this.#stream.on('data', (chunk: Buffer) => this.#onData(chunk));
    this.#stream.on('error', (error) => (this.#error ??= error.message));
    this.#stream.once('end', () => this.#onEnd());
    this.#stream.once('close', () => this.drop(this.#error ?? 'the peer closed the connection'));
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
      if (error.magic) this.#refuse(refusal);
      else this.drop(error.message);
      return;
    }
    const { hello, rest } = message;
    const verdict = this.#owner.judge(hello, this.place);
    if (!verdict.accepted) {
      counters.add('refusedInbound');
      this.#owner.refused(this, hello, verdict);
      this.#refuse(verdict);
      return;
    }
    clearTimeout(this.#timer);
    this.#owner.accepted(this, hello, verdict.protocol);
    this.#hello = hello;
    this.#stage = 'open';
    this.#owner.core.inboundOpen(this.connection, hello.nodeId, hello.channel as Channel);
    this.#stream.write(this.#answer({ accepted: true, protocol: verdict.protocol, code: '', reason: '' }));
    if (rest.length > 0) this.#deliver(rest);
  }

  #refuse(refusal: Refusal): void {
    this.#stage = 'refusing';
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.drop(refusal.reason), LINGER_MS);
    this.#stream.end(this.#answer({ accepted: false, protocol: 0, code: refusal.code, reason: refusal.reason }));
  }

  #onEnd(): void {
    // Who has ended sends nothing more; a new process of it may dial before the socket has closed.
    if (this.#stage === 'open') this.drop('the peer closed the connection');
    if (this.#stage !== 'handshake' || this.#reader.empty) return;
    this.#owner.counters.add('protocolErrors');
    this.drop('the connection ended within the handshake');
  }

  #answer(outcome: { accepted: boolean; protocol: number; code: string; reason: string }): Buffer {
    const { identity } = this.#owner;
    return encodeAnswer({ ...identity, ...outcome, life: identity.life ?? 0n, features: [] });
  }
}
