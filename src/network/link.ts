import { Backoff } from './backoff.js';
import { CHALLENGED, isSame } from './challenges.js';
import type { Counters } from './counters.js';
import type { NetworkEvent } from './events.js';
import { type Answer, readsOf, decodeAnswer, encodeHello, FEATURES, HandshakeError, HandshakeReader, type Hello } from './hello.js';
import type { Identity, PeerAddress, ProtocolRange, Timing } from './options.js';
import type { Channel, PeerCore } from './port.js';
import { limitSilence } from './silence.js';
import type { Transport, TransportStream } from './transport.js';
import { isOfCertificate, judgeAnswer, judgeProof, type LivePeer, type Refusal } from './verdict.js';

/** Where `write` begins to answer false, as a share of what one connection may hold; at most 256 KiB. */
const BUFFER_SHARE = 4;
const BUFFER_BYTES_MAX = 256 * 1024;

const UNASKED: Refusal = { code: 'PROTOCOL_ERROR', reason: 'an answer came before it was asked for' };

/** What all links of a network have in common. */
export interface LinkContext {
  readonly identity: Identity;
  readonly protocol: ProtocolRange;
  readonly peerBytesMax: number;
  readonly timing: Timing;
  readonly transport: Transport;
  readonly core: PeerCore;
  readonly counters: Counters;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** What a Hello says of this node as it is now. */
  said(): Pick<Hello, 'listen' | 'tableVersion' | 'neighbours'>;
  emit(event: NetworkEvent): void;
  /** Accepted connections of that node, and those that are awaited. */
  inboundOf(nodeId: string): Iterable<LivePeer>;
}

/** One dialled connection to one peer, kept up for as long as the network is open. It only sends. */
export class OutboundLink {
  readonly peer: PeerAddress;
  readonly channel: Channel;
  readonly #context: LinkContext;
  readonly #backoff: Backoff;
  #closed = false;
  #connection: TransportStream | null = null;
  /** Whether the connection has opened, its proof was looked at and the Hello is out: what comes before answers nothing. */
  #asked = false;
  /** The peer's answer; not null exactly while the link is up. */
  #answer: Answer | null = null;
  /** Runs until the handshake is done, then until the link has proved itself; or until the next dial. */
  #timer: NodeJS.Timeout | null = null;
  #waiting = false;
  #blocked = false;
  /** Why the connection is being destroyed by us; else the stream's own error tells. */
  #reason: string | null = null;
  #refusal: Refusal | null = null;
  #wasUp = false;
  /** It was up for long. */
  #stayed = false;
  /** What was reported since the link was last up, so that each outage and each reason is told once. */
  #reported: string | null = null;
  /** Invariant: `#first` is not null exactly while one run, or several, were sent and not yet flushed. */
  #first: Buffer | null = null;
  #corked = false;

  constructor(peer: PeerAddress, channel: Channel, context: LinkContext) {
    this.peer = peer;
    this.channel = channel;
    this.#context = context;
    this.#backoff = new Backoff(context.timing.backoffMinMs, context.timing.backoffMaxMs, context.random);
  }

  /** Who is at the other end, while the link is up. */
  get live(): LivePeer | null {
    return this.#answer === null ? null : { ...this.#answer, place: this.#name().remote };
  }

  dial(): void {
    if (this.#closed || this.#connection !== null) return;
    this.#waiting = false;
    this.#stopTimer();
    const { transport, identity, protocol, peerBytesMax, timing, counters } = this.#context;
    counters.add('dials');
    this.#reason = null;
    this.#refusal = null;
    this.#asked = false;
    this.#wasUp = false;
    this.#stayed = false;
    const bufferBytes = Math.max(1, Math.min(BUFFER_BYTES_MAX, Math.floor(peerBytesMax / BUFFER_SHARE)));
    const connection = transport.dial(this.peer, bufferBytes, () => {
      if (!this.#isProved()) return;
      this.#asked = true;
      connection.stream.write(
        encodeHello({
          ...identity,
          ...this.#context.said(),
          settings: identity.settings ?? '',
          life: identity.life ?? 0n,
          protocolMin: protocol.min,
          protocolMax: protocol.max,
          channel: this.channel,
          expectedNodeId: this.peer.nodeId,
          features: FEATURES,
        }),
      );
    });
    this.#connection = connection;
    this.#timer = setTimeout(() => {
      counters.add('handshakeTimeouts');
      this.#give(`no answer within ${timing.handshakeTimeoutMs} ms`);
    }, timing.handshakeTimeoutMs);
    const reader = new HandshakeReader();
    const { stream } = connection;
    stream.on('data', (chunk: Buffer) => this.#onData(chunk, reader));
    stream.on('drain', () => this.#onDrain());
    stream.once('end', () => this.#give('the peer closed the connection'));
    stream.on('error', (error) => {
      // What is proved of who answers may be that it proves nothing.
      if (this.#connection === connection) this.#isProved();
      this.#reason ??= error.message;
    });
    stream.once('close', () => this.#onClose(connection));
  }

  /** Refuses or closes a connection whose certificate is not believed, or is believed no more. */
  check(): void {
    this.#isProved();
  }

  #isProved(): boolean {
    if (this.#refusal !== null) return false;
    const refusal = this.#connection === null ? null : judgeProof(this.#connection.proof(), this.#context.identity);
    if (refusal !== null) this.#refuse(refusal);
    return refusal === null;
  }

  /** The peer is known to be there: no reason to wait any longer. */
  dialNow(): void {
    if (this.#waiting) this.dial();
  }

  /** The process that this link talks to may be dead: it is dialled anew. */
  challenge(older: LivePeer): void {
    if (this.live === null || !isSame(this.live, older)) return;
    this.#backoff.reset();
    this.#give(CHALLENGED);
  }

  /** Takes a run of frames; `flush` must follow in the same turn. False while the link is down: the bytes are dropped. */
  send(run: Buffer): boolean {
    if (this.#answer === null || this.#connection === null) return false;
    if (this.#first === null) {
      this.#first = run;
      return true;
    }
    const { stream } = this.#connection;
    if (!this.#corked) {
      this.#corked = true;
      stream.cork();
      stream.write(this.#first);
    }
    stream.write(run);
    return true;
  }

  /** Hands over what `send` took: one run is written as it is, several leave in one system call. */
  flush(): void {
    const first = this.#first;
    if (first === null || this.#connection === null) return;
    this.#first = null;
    const { stream } = this.#connection;
    if (this.#corked) {
      this.#corked = false;
      stream.uncork();
    } else {
      stream.write(first);
    }
    const { core, counters, peerBytesMax } = this.#context;
    if (stream.writableLength > peerBytesMax) {
      counters.add('overflows');
      this.#give(`${stream.writableLength} bytes are waiting; at most ${peerBytesMax} may`);
    } else if (!this.#blocked && stream.writableNeedDrain && stream.writableLength > 0) {
      // A large write that the kernel took at once also asks for a drain; the core need not hear of that.
      this.#blocked = true;
      counters.add('blocked');
      core.linkBlocked(this.peer.slot, this.channel, stream.writableLength);
    }
  }

  /** Resolves when the connection is gone and no timer is left. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting = false;
    this.#stopTimer();
    const connection = this.#connection;
    if (connection === null) return;
    const closed = new Promise<void>((resolve) => connection.stream.once('close', resolve));
    this.#give('this node is closing its network');
    await closed;
  }

  #onDrain(): void {
    if (!this.#blocked || this.#answer === null) return;
    this.#blocked = false;
    this.#context.core.linkDrained(this.peer.slot, this.channel);
  }

  #onData(chunk: Uint8Array, reader: HandshakeReader): void {
    if (this.#reason !== null) return;
    const { core, counters, identity, protocol } = this.#context;
    if (this.#answer !== null) {
      counters.add('protocolErrors');
      this.#give('the peer sent bytes on a connection that only we send on');
      return;
    }
    const read = this.#asked ? readAnswer(reader, chunk) : UNASKED;
    if (read === null) return;
    if ('code' in read) {
      counters.add('protocolErrors');
      this.#refuse(read);
      return;
    }
    const verdict = judgeAnswer(read.answer, this.#name().remote, identity, protocol, this.peer.nodeId, this.#context.inboundOf(this.peer.nodeId), this.#connection?.proof() ?? null);
    if (!verdict.accepted) {
      this.#refuse(verdict);
      return;
    }
    this.#answer = read.answer;
    this.#wasUp = true;
    this.#reported = null;
    counters.add('linksUpNow');
    // Only a link that stays resets the backoff, or one that is cut at once would be dialled without pause.
    this.#stopTimer();
    this.#timer = setTimeout(() => {
      this.#stayed = true;
      this.#backoff.reset();
    }, this.#context.timing.backoffMaxMs);
    if (this.#connection !== null) limitSilence(this.#connection.stream, core, this.#context.timing.silenceMaxMs);
    core.linkUp(this.peer.slot, this.channel, readsOf(read.answer.features));
    this.#context.emit({ type: 'up', protocol: verdict.protocol, incarnation: read.answer.incarnation, ...this.#name() });
    if (read.rest.length > 0) this.#onData(read.rest, reader);
  }

  #refuse(refusal: Refusal): void {
    const { counters } = this.#context;
    counters.add('refusedOutbound');
    if (isOfCertificate(refusal.code)) counters.add('certificatesRefused');
    this.#refusal = { code: refusal.code, reason: refusal.reason };
    this.#give(refusal.reason);
  }

  #give(reason: string): void {
    if (this.#connection === null) return;
    this.#reason ??= reason;
    this.#connection.stream.destroy();
    // The close event comes a turn later; the core must not go on sending until then.
    this.#lower();
  }

  /** Tells the core that the link is down, once for each time it was up. */
  #lower(): void {
    if (this.#answer === null) return;
    this.#answer = null;
    this.#blocked = false;
    this.#first = null;
    this.#corked = false;
    this.#stopTimer();
    this.#context.counters.add('linksUpNow', -1);
    this.#context.core.linkDown(this.peer.slot, this.channel);
    this.#context.emit({ type: 'down', reason: this.#reason ?? 'the connection closed', ...this.#name() });
  }

  #onClose(connection: TransportStream): void {
    if (this.#connection !== connection) return;
    this.#lower();
    const name = this.#name();
    this.#connection = null;
    this.#stopTimer();
    if (this.#closed) return;
    const { counters, timing, random } = this.#context;
    // Whoever is there is connected again before a process counts as dead that connections have ended of (decision 28).
    let waitMs = this.#stayed ? 0 : this.#backoff.nextMs();
    if (this.#refusal !== null) {
      waitMs = timing.refusedRetryMs * (1 + random());
      this.#report(`${this.#refusal.code} ${this.#refusal.reason}`, { type: 'refused', direction: 'outbound', ...this.#refusal, ...name });
    } else if (!this.#wasUp) {
      counters.add('dialsFailed');
      const reason = this.#reason ?? 'the connection closed';
      this.#report('unreachable', { type: 'unreachable', reason, ...name });
    }
    this.#waiting = true;
    this.#timer = setTimeout(() => this.dial(), waitMs);
  }

  #report(what: string, event: NetworkEvent): void {
    if (this.#reported === what) return;
    this.#reported = what;
    this.#context.emit(event);
  }

  #name(): { slot: number; peer: string; channel: Channel; remote: string } {
    return { slot: this.peer.slot, peer: this.peer.nodeId, channel: this.channel, remote: this.#connection?.remote ?? '' };
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

function readAnswer(reader: HandshakeReader, chunk: Uint8Array): { answer: Answer; rest: Uint8Array } | Refusal | null {
  try {
    const message = reader.push(chunk);
    return message === null ? null : { answer: decodeAnswer(message.body), rest: message.rest };
  } catch (error) {
    if (!(error instanceof HandshakeError)) throw error;
    return { code: 'PROTOCOL_ERROR', reason: `no valid answer came: ${error.message}` };
  }
}
