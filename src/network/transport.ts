import type { Duplex } from 'node:stream';
import { type Address, formatAddress, type Holder } from '../config/index.js';
import type { Credentials } from './credentials.js';

export { type Address, formatAddress };

/** A stream of bytes to one peer. `close` follows every end, also that of a dial that failed (after `error`). */
export interface TransportStream {
  readonly stream: Duplex;
  /** The other end, for messages: of an accepted one `HOST:PORT`, or what was listened on and a number, which no other one has that is open. */
  readonly remote: string;
  /** What the other end has proved of itself, as it is believed now; null before it is open, and where the transport proves nothing. */
  proof(): Proof | null;
}

export interface Proof {
  /** Whom its certificate is for; null where it names nobody of ours. Nothing to go by while there is a fault. */
  readonly holder: Holder | null;
  /** Why nothing of it is believed, in a sentence; null where it is. */
  readonly fault: string | null;
  /** The certificate that was shown, if any. */
  readonly certificate: ShownCertificate | null;
}

export interface ShownCertificate {
  readonly serial: string;
  readonly notAfterMs: number;
}

/** A connection that has come and has to do more before bytes can pass: it takes the place of a handshake. */
export interface Arrival {
  readonly remote: string;
  destroy(): void;
}

export interface TransportListener {
  readonly address: Address;
  /** Stops accepting; accepted streams are their owner's to close. */
  close(): Promise<void>;
}

export interface TransportListenHandlers {
  /** Where bytes pass from the first moment on, a connection is a stream at once and this is not called. */
  onArrival(arrival: Arrival): void;
  /** The arrival, if there was one, has become this. */
  onStream(accepted: TransportStream, arrival: Arrival | null): void;
  /** The arrival became nothing. `reason` is null where the other side said nothing either. */
  onLost(arrival: Arrival, reason: string | null): void;
  /** The listener could not accept a connection and goes on listening. */
  onError(error: Error): void;
}

/** What a transport needs of credentials. */
export type Shows = Pick<Credentials, 'ca' | 'cert' | 'key' | 'revoked'>;

/** How bytes travel between members, to addresses of one kind. */
export interface Transport {
  /** Returns at once; `onOpen` says when bytes may be written. `bufferBytes` is where `write` starts to answer false. */
  dial(address: Address, bufferBytes: number, onOpen: () => void): TransportStream;
  /** Resolves once listening; rejects with the system's error (`EADDRINUSE`, `EADDRNOTAVAIL`, …). */
  listen(address: Address, handlers: TransportListenHandlers): Promise<TransportListener>;
  /** Has what opens from now on use these; what is open stays, and its proof is judged by them. */
  renew?(shows: Shows): void;
}

/** Of the other end of a connection, what stays when it connects again: its port, or number, is another one each time. */
export const machineOf = (remote: string): string => remote.replace(/:\d+$/, '');
