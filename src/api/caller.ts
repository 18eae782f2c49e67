/** Who makes a call: by the certificate of its connection, or by the token that came with it. */
import type { Metadata, ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { describeHolder, formatAddress, type Holder, isLocal, parseAddress, parseToken } from '../config/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type TokenRecord, TokenTable } from '../network/index.js';
import type { CallerCertificate, Connection, Connections } from './connections.js';

/** The key of the metadata in which a token comes. */
export const AUTHORIZATION = 'authorization';
const BEARER = /^Bearer +(\S+)$/i;

export interface Caller {
  readonly connection: Connection;
  readonly holder: Holder;
  /** By which one it is who it says; null for a certificate. */
  readonly token: TokenRecord | null;
  /** Of the certificate, or null. */
  readonly serial: string | null;
}

export interface CallersOptions {
  readonly clusterId: string;
  readonly connections: Connections;
  readonly revoked: readonly string[];
  /** Null where none are taken. */
  readonly tokens: readonly TokenRecord[] | null;
  /** Tokens are taken in plain text from other machines too. */
  readonly insecure: boolean;
  nowMs(): number;
}

export class Callers {
  readonly #options: CallersOptions;
  #revoked: ReadonlySet<string>;
  #tokens: TokenTable | null;

  constructor(options: CallersOptions) {
    this.#options = options;
    this.#revoked = new Set(options.revoked);
    this.#tokens = options.tokens === null ? null : new TokenTable(options.tokens);
  }

  revoke(serials: readonly string[]): void {
    this.#revoked = new Set(serials);
  }

  renew(tokens: readonly TokenRecord[]): void {
    this.#tokens = new TokenTable(tokens);
  }

  /** Who calls; null where nobody has to say it; or why it is not believed. */
  of(call: ServerInterceptingCallInterface, metadata: Metadata): Caller | null | CoordinatorError {
    const { remoteAddress = '', remotePort } = call.getConnectionInfo();
    const { connections } = this.#options;
    const connection = connections.at(remotePort === undefined ? remoteAddress : formatAddress({ host: remoteAddress, port: remotePort }));
    if (connection === undefined) return new CoordinatorError('UNAVAILABLE', 'the connection has ended', { committed: 'no' });
    const refusal = connections.refusalOf(connection);
    if (refusal !== null) return refusal;
    const { certificate } = connection;
    const fault = certificate === null ? null : this.#faultOf(connection, certificate);
    if (fault !== null) return fault;
    const [said] = metadata.get(AUTHORIZATION);
    if (this.#tokens !== null && said !== undefined) return this.#byToken(this.#tokens, connection, String(said));
    if (certificate !== null && certificate.holder !== null) return { connection, holder: certificate.holder, token: null, serial: certificate.serial };
    return this.#tokens === null ? null : unauthenticated('the call comes without a certificate and without a token; one of them says who calls');
  }

  /** Why a call or a connection that was let in by these does not go on, or null. That they expire ends nothing that has begun. */
  cut({ certificate }: Connection, token: TokenRecord | null): CoordinatorError | null {
    if (certificate !== null && this.#revoked.has(certificate.serial)) return revokedCertificate(certificate);
    if (token === null) return null;
    const holder: Holder = { ...token, clusterId: this.#options.clusterId };
    const current = this.#tokens?.current(token) ?? null;
    if (current === null) return unauthenticated(`the token of ${describeHolder(holder)} was taken away or changed`);
    return current.revokedMs === null ? null : revokedToken(holder);
  }

  /** Whether a certificate is good for anything here; a connection may last longer than it. */
  #faultOf(connection: Connection, certificate: CallerCertificate): CoordinatorError | null {
    const { holder, serial, notAfterMs } = certificate;
    const { clusterId, connections, nowMs } = this.#options;
    if (holder === null) return denied('the certificate does not say whose it is');
    if (holder.clusterId !== clusterId) return denied(`the certificate is that of ${describeHolder(holder)}; this is cluster ${JSON.stringify(clusterId)}`);
    if (this.#revoked.has(serial)) {
      const refusal = revokedCertificate(certificate);
      connections.dismiss(connection, refusal);
      return refusal;
    }
    if (nowMs() > notAfterMs) return denied(`certificate ${serial} of ${describeHolder(holder)} expired at ${new Date(notAfterMs).toISOString()}`);
    return null;
  }

  #byToken(tokens: TokenTable, connection: Connection, said: string): Caller | CoordinatorError {
    const { clusterId, insecure, nowMs } = this.#options;
    if (!connection.isEncrypted && !insecure && !isOfThisMachine(connection.remote)) return unauthenticated('a token that comes in plain text from another machine is not taken: anybody on the way may have it now');
    const [, text = ''] = BEARER.exec(said) ?? [];
    const name = parseToken(text);
    if (name === null) return unauthenticated('what came as a token is none');
    if (name.clusterId !== clusterId) return unauthenticated(`the token is one of cluster ${JSON.stringify(name.clusterId)}; this is cluster ${JSON.stringify(clusterId)}`);
    const token = tokens.find(text);
    if (token === null) return unauthenticated('the token is not among those of this node');
    const { role } = token;
    const holder: Holder = { ...name, role };
    if (token.revokedMs !== null) return revokedToken(holder);
    if (token.expiresMs !== null && nowMs() > token.expiresMs) return unauthenticated(`the token of ${describeHolder(holder)} expired at ${new Date(token.expiresMs).toISOString()}`);
    return { connection, holder, token, serial: null };
  }
}

/** Whose connections are counted together. */
export const callerOfToken = ({ name }: TokenRecord): string => `token ${JSON.stringify(name)}`;

/** An IPv4 address may have come as one of IPv6. */
function isOfThisMachine(remote: string): boolean {
  const address = parseAddress(remote.replace(/^\[::ffff:([\d.]+)\]/i, '$1'));
  return address !== null && isLocal(address);
}
const revokedCertificate = ({ serial, holder }: CallerCertificate): CoordinatorError => denied(`certificate ${serial} of ${holder === null ? 'nobody' : describeHolder(holder)} was revoked`);
const revokedToken = (holder: Holder): CoordinatorError => unauthenticated(`the token of ${describeHolder(holder)} was revoked`);
const denied = (message: string): CoordinatorError => new CoordinatorError('PERMISSION_DENIED', message);
const unauthenticated = (message: string): CoordinatorError => new CoordinatorError('UNAUTHENTICATED', message);
