/**
 * Who is connected to the API. What a connection has proved by itself is looked at once, and there are only so many of them: in all, of
 * one caller, and of those that have proved nothing yet. Who is one too many is told so by the answer to its call, and then closed.
 */
import type { Duplex } from 'node:stream';
import { type Holder, holderUri } from '../config/index.js';
import { CoordinatorError } from '../errors/index.js';
import type { TokenRecord } from '../network/index.js';

/** What a connection has to show in it before it is closed: a token, with a call. */
const PROOF_MS = 10_000;
/** The oldest makes room for the newest. */
const UNPROVEN_MAX = 256;
/** Those that are refused have so long to be told why, and are so many; the oldest makes room. */
const LAST_WORDS_MS = 2_000;
const LEAVING_MAX = 64;

/** As it was shown; whether it is good for anything here is the guard's to say. */
export interface CallerCertificate {
  readonly serial: string;
  /** Null for one that names nobody of ours. */
  readonly holder: Holder | null;
  readonly notAfterMs: number;
}

export interface Connection {
  readonly stream: Duplex;
  /** As the transport names it. */
  readonly remote: string;
  readonly certificate: CallerCertificate | null;
  readonly isEncrypted: boolean;
}

export interface ConnectionLimits {
  readonly connectionsMax: number;
  readonly callerConnectionsMax: number;
}

export interface ApiCounts {
  /** Of whom it is known who they are, or need not be. */
  connections: number;
  /** For want of room: more than there may be, in all or of one caller. */
  connectionsRefused: number;
  /** Closed before they had shown a certificate or a token: their time was up, or others came. */
  connectionsDropped: number;
  /** By the handshake of TLS: it did not come about, or the certificate is not believed. */
  handshakesRefused: number;
  /** Calls without a certificate or a token that is good here. */
  callsUnauthenticated: number;
}

interface Place {
  readonly connection: Connection;
  state: 'unproven' | 'in' | 'leaving';
  /** Whose place it takes; null where nobody has to say who he is. */
  caller: string | null;
  /** By which it has it; null where it is not by a token. */
  token: TokenRecord | null;
  refusal: CoordinatorError | null;
  timer: NodeJS.Timeout | null;
}

export class Connections {
  readonly counts: ApiCounts = { connections: 0, connectionsRefused: 0, connectionsDropped: 0, handshakesRefused: 0, callsUnauthenticated: 0 };
  readonly #limits: ConnectionLimits;
  /** By remote, which is all that a call tells of its connection. */
  readonly #places = new Map<string, Place>();
  readonly #unproven = new Set<Place>();
  readonly #leaving = new Set<Place>();
  readonly #ofCaller = new Map<string, number>();

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  /** `isOpen`: nobody has to say who he is. Answers why it may not stay, if it may not. */
  enter(connection: Connection, isOpen: boolean): CoordinatorError | null {
    const place: Place = { connection, state: 'unproven', caller: null, token: null, refusal: null, timer: null };
    this.#places.set(connection.remote, place);
    this.#unproven.add(place);
    connection.stream.once('close', () => this.#leave(place));
    if (isOpen || connection.certificate !== null) return this.#claim(place, connection.certificate === null ? null : callerOfCertificate(connection.certificate));
    place.timer = setTimeout(() => this.#drop(place), PROOF_MS);
    const [oldest] = this.#unproven;
    if (this.#unproven.size > UNPROVEN_MAX && oldest !== undefined) this.#drop(oldest);
    return null;
  }

  /** The connection that a call has come on; undefined where it has ended meanwhile. */
  at(remote: string): Connection | undefined {
    return this.#places.get(remote)?.connection;
  }

  /** Why no call of it is answered any more, or null. */
  refusalOf({ remote }: Connection): CoordinatorError | null {
    return this.#places.get(remote)?.refusal ?? null;
  }

  /** A call on it has shown a token of the caller. Answers why it may not stay, if it may not. */
  claim({ remote }: Connection, caller: string, token: TokenRecord): CoordinatorError | null {
    const place = this.#places.get(remote);
    if (place?.state !== 'unproven') return null;
    place.token = token;
    return this.#claim(place, caller);
  }

  /** Its calls are answered with this from now on, for as long as it takes to hear it. */
  dismiss({ remote }: Connection, refusal: CoordinatorError): void {
    const place = this.#places.get(remote);
    if (place === undefined || place.state === 'leaving') return;
    this.#release(place);
    place.state = 'leaving';
    place.refusal = refusal;
    place.timer = setTimeout(() => this.#end(place), LAST_WORDS_MS);
    this.#leaving.add(place);
    const [oldest] = this.#leaving;
    if (this.#leaving.size > LEAVING_MAX && oldest !== undefined) this.#end(oldest);
  }

  /** Those that are in, with the token by which they are, if any. */
  *all(): Iterable<{ readonly connection: Connection; readonly token: TokenRecord | null }> {
    for (const place of [...this.#places.values()]) if (place.state === 'in') yield place;
  }

  #claim(place: Place, caller: string | null): CoordinatorError | null {
    const { connectionsMax, callerConnectionsMax } = this.#limits;
    const held = caller === null ? 0 : (this.#ofCaller.get(caller) ?? 0);
    const refusal =
      this.counts.connections >= connectionsMax
        ? full(`the API has as many connections as it may have: ${connectionsMax} (limits.apiConnectionsMax)`)
        : caller !== null && held >= callerConnectionsMax
          ? full(`${caller} has as many connections to the API as one caller may have: ${callerConnectionsMax} (limits.apiCallerConnectionsMax)`)
          : null;
    if (refusal !== null) {
      this.counts.connectionsRefused += 1;
      this.dismiss(place.connection, refusal);
      return refusal;
    }
    this.#release(place);
    place.state = 'in';
    place.caller = caller;
    this.counts.connections += 1;
    if (caller !== null) this.#ofCaller.set(caller, held + 1);
    return null;
  }

  #drop(place: Place): void {
    this.counts.connectionsDropped += 1;
    this.#end(place);
  }

  #end(place: Place): void {
    this.#leave(place);
    place.connection.stream.destroy();
  }

  #leave(place: Place): void {
    this.#release(place);
    this.#leaving.delete(place);
    // The same port may have another connection by now.
    if (this.#places.get(place.connection.remote) === place) this.#places.delete(place.connection.remote);
  }

  /** Gives its place back, whichever it has. */
  #release(place: Place): void {
    if (place.timer !== null) clearTimeout(place.timer);
    place.timer = null;
    this.#unproven.delete(place);
    if (place.state !== 'in') return;
    place.state = 'leaving';
    this.counts.connections -= 1;
    const { caller } = place;
    if (caller === null) return;
    const left = (this.#ofCaller.get(caller) ?? 1) - 1;
    if (left === 0) this.#ofCaller.delete(caller);
    else this.#ofCaller.set(caller, left);
  }
}

/** By its name and not its number: a caller with a new certificate is the same one. */
export const callerOfCertificate = ({ holder, serial }: CallerCertificate): string => (holder === null ? `certificate ${serial}` : holderUri(holder));

const full = (sentence: string): CoordinatorError => new CoordinatorError('CONNECTIONS_MAX', sentence);
