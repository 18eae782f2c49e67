/**
 * TLS 1.3 in which both sides show a certificate of an authority that the other one knows. Who may speak to whom is not decided here:
 * a connection whose certificate is not believed opens too, with the fault in its proof, so that the other side is told before it is closed.
 * No name of a host is checked, since members are told apart by what their certificates say (`certificate.ts`).
 */
import { constants } from 'node:crypto';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { connect, createSecureContext, createServer, type SecureContext, type SecureContextOptions, type Server, type TLSSocket } from 'node:tls';
import { describeHolder } from '../config/index.js';
import { faultOf, holderOf, notAfterMs, serialOf } from './certificate.js';
import { MAGIC, UNEQUAL } from './hello.js';
import { descriptorOf } from './silence.js';
import { type Sockets, tellErrors } from './sockets.js';
import { type Address, type Arrival, formatAddress, type Proof, type ShownCertificate, type Shows, type Transport, type TransportListener, type TransportListenHandlers, type TransportStream } from './transport.js';

/** What is not believed is told so in words, by `proofOf` and who asks for it; the library would only hang up. */
const BOTH_SHOW = { requestCert: true, rejectUnauthorized: false } as const;

/** The fault of who speaks TLS and has no certificate: where there are tokens, that is none. */
export const NOTHING_SHOWN = 'no certificate was shown';

export class Tls implements Transport {
  /** Of what is spoken within, where several could be. */
  readonly #protocols: readonly string[];
  readonly #sockets: Sockets;
  readonly #servers = new Set<Server>();
  #context: SecureContext;
  #revoked: ReadonlySet<string>;
  #options: SecureContextOptions;

  constructor(sockets: Sockets, credentials: Shows, protocols: readonly string[]) {
    this.#sockets = sockets;
    this.#protocols = protocols;
    this.#options = contextOptions(credentials);
    this.#context = createSecureContext(this.#options);
    this.#revoked = new Set(credentials.revoked);
  }

  renew(credentials: Shows): void {
    this.#options = contextOptions(credentials);
    this.#context = createSecureContext(this.#options);
    this.#revoked = new Set(credentials.revoked);
    for (const server of this.#servers) server.setSecureContext(this.#options);
  }

  dial(address: Address, bufferBytes: number, onOpen: () => void): TransportStream {
    const options = { ...this.#sockets.target(address), secureContext: this.#context, rejectUnauthorized: false, checkServerIdentity: () => undefined, highWaterMark: bufferBytes };
    const socket = connect(options);
    this.#sockets.tune(socket);
    let shown: Shown | null = null;
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ERR_SSL_WRONG_VERSION_NUMBER') shown = nothingShown(UNEQUAL);
    });
    socket.once('secureConnect', () => {
      shown = shownOf(socket);
      onOpen();
    });
    return { stream: socket, remote: formatAddress(address), proof: () => this.#proofOf(shown) };
  }

  async listen(address: Address, handlers: TransportListenHandlers): Promise<TransportListener> {
    const server = createServer({ ...BOTH_SHOW, ...this.#options, ...(this.#protocols.length === 0 ? {} : { ALPNProtocols: [...this.#protocols] }) });
    const arrivals = new Arrivals(handlers);
    const pass = (socket: Socket, shown: Shown): void => {
      const arrival = arrivals.open(socket);
      if (arrival !== null) handlers.onStream({ stream: socket, remote: arrival.remote, proof: () => this.#proofOf(shown) }, arrival);
      else socket.destroy();
    };
    server.on('tlsClientError', (error, socket) => arrivals.fail(socket, error));
    server.on('secureConnection', (socket) => pass(socket, shownOf(socket)));
    const front = createTcpServer(this.#sockets.accepted, (socket) => {
      arrivals.come(socket, this.#sockets.remoteOf(socket));
      socket.once('data', (first: Buffer) => {
        // No record of TLS begins so: a member without it is told why in words that it understands.
        const isPlain = first[0] === MAGIC[0];
        socket.pause().unshift(first);
        if (isPlain) pass(socket, nothingShown(UNEQUAL));
        else server.emit('connection', socket);
      });
    });
    tellErrors(front, handlers);
    const listener = await this.#sockets.listen(front, address);
    this.#servers.add(server);
    return {
      address: listener.address,
      close: () => {
        this.#servers.delete(server);
        return listener.close();
      },
    };
  }

  /** As the list of revoked certificates is now. */
  #proofOf(shown: Shown | null): Proof | null {
    if (shown === null) return null;
    const { holder, certificate } = shown;
    const isRevoked = certificate !== null && this.#revoked.has(certificate.serial);
    return { holder, certificate, fault: shown.fault ?? (isRevoked ? `${shown.name} was revoked` : null) };
  }
}

function contextOptions({ ca, cert, key }: Shows): SecureContextOptions {
  // A resumed session would be believed by what its certificate was worth when it began.
  return { ca, cert, key, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', secureOptions: constants.SSL_OP_NO_TICKET };
}

/** What does not change while a connection lasts. */
interface Shown {
  readonly holder: Proof['holder'];
  readonly certificate: ShownCertificate | null;
  /** How a sentence speaks of the certificate. */
  readonly name: string;
  readonly fault: string | null;
}

function shownOf(socket: TLSSocket): Shown {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return nothingShown(NOTHING_SHOWN);
  const holder = holderOf(certificate);
  const serial = serialOf(certificate);
  const name = `certificate ${serial}${holder === null ? '' : ` of ${describeHolder(holder)}`}`;
  return { holder, certificate: { serial, notAfterMs: notAfterMs(certificate) }, name, fault: socket.authorized ? null : `${name} ${faultOf(certificate, String(socket.authorizationError), 'that the other side knows')}` };
}

const nothingShown = (fault: string): Shown => ({ holder: null, certificate: null, name: '', fault });

/** Connections whose TLS handshake is under way, which the library keeps to itself until it is over. */
class Arrivals {
  readonly #handlers: TransportListenHandlers;
  /** By the system's number of the socket: all that the one that comes and the one that opens have in common, whatever it leads to. */
  readonly #open = new Map<number | null, Coming>();

  constructor(handlers: TransportListenHandlers) {
    this.#handlers = handlers;
  }

  come(socket: Socket, remote: string): void {
    const coming: Coming = { arrival: { remote, destroy: () => void socket.destroy() }, socket, descriptor: descriptorOf(socket), isOver: false };
    this.#open.set(coming.descriptor, coming);
    socket.on('error', () => {});
    socket.once('close', () => this.#lose(coming, 'the connection ended within its TLS handshake'));
    this.#handlers.onArrival(coming.arrival);
  }

  open(socket: Socket): Arrival | null {
    const coming = this.#open.get(descriptorOf(socket));
    if (coming === undefined) return null;
    this.#end(coming);
    return coming.arrival;
  }

  fail(socket: TLSSocket, error: Error & { reason?: string }): void {
    // Where the socket is gone already, so is its number, and its close tells.
    const coming = this.#open.get(descriptorOf(socket));
    if (coming !== undefined) this.#lose(coming, `no handshake of TLS 1.3 came: ${error.reason ?? error.message}`);
    socket.destroy();
  }

  #lose(coming: Coming, reason: string): void {
    if (coming.isOver) return;
    this.#end(coming);
    this.#handlers.onLost(coming.arrival, coming.socket.bytesRead === 0 ? null : reason);
  }

  /** Its number may be another one's by now. */
  #end(coming: Coming): void {
    coming.isOver = true;
    if (this.#open.get(coming.descriptor) === coming) this.#open.delete(coming.descriptor);
  }
}

interface Coming {
  readonly arrival: Arrival;
  readonly socket: Socket;
  readonly descriptor: number | null;
  /** It has opened, or is lost. */
  isOver: boolean;
}
