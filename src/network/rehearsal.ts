/** A handshake of TLS with oneself, in memory: what others will say of a certificate, said by who says it for them. */
import { duplexPair } from 'node:stream';
import { connect, createServer, type SecureContextOptions, type TLSSocket } from 'node:tls';

const VERSION = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;

/** Resolves with the library's code for what is wrong with the certificate, for who dials or for who answers, or null. Rejects where none can be spoken with it at all. */
export async function rehearse(files: Pick<SecureContextOptions, 'ca' | 'cert' | 'key'>): Promise<string | null> {
  const [near, far] = duplexPair();
  const server = createServer({ ...files, ...VERSION, requestCert: true, rejectUnauthorized: false });
  try {
    const answering = new Promise<TLSSocket>((resolve, reject) => server.once('secureConnection', resolve).once('tlsClientError', reject));
    server.emit('connection', far);
    const dialling = new Promise<TLSSocket>((resolve, reject) => {
      const socket = connect({ ...files, ...VERSION, socket: near, rejectUnauthorized: false, checkServerIdentity: () => undefined }, () => resolve(socket));
      socket.once('error', reject);
    });
    const ends = await Promise.all([dialling, answering]);
    // How they end is nobody's concern.
    for (const end of ends) end.on('error', () => {});
    const refused = ends.find(({ authorized }) => !authorized);
    return refused === undefined ? null : String(refused.authorizationError);
  } finally {
    near.destroy();
    far.destroy();
  }
}
