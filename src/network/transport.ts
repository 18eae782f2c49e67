import type { Duplex } from 'node:stream';

/** Host name or IP address and a port; port 0 in a listen address lets the system choose. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A stream of bytes to one peer. `close` follows every end, also that of a dial that failed (after `error`). */
export interface TransportStream {
  readonly stream: Duplex;
  /** The other end as `host:port`, for messages. */
  readonly remote: string;
}

export interface TransportListener {
  readonly address: Address;
  /** Stops accepting; accepted streams are their owner's to close. */
  close(): Promise<void>;
}

export interface TransportListenHandlers {
  onStream(accepted: TransportStream): void;
  /** The listener could not accept a connection and goes on listening. */
  onError(error: Error): void;
}

/** How bytes travel between members. TLS is another implementation, compression and codecs wrap one. */
export interface Transport {
  /** Returns at once; `onOpen` says when bytes may be written. `bufferBytes` is where `write` starts to answer false. */
  dial(address: Address, bufferBytes: number, onOpen: () => void): TransportStream;
  /** Resolves once listening; rejects with the system's error (`EADDRINUSE`, `EADDRNOTAVAIL`, …). */
  listen(address: Address, handlers: TransportListenHandlers): Promise<TransportListener>;
}

/** `host:port`, with brackets around an IPv6 address. */
export function formatAddress(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
