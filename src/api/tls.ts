/** TLS 1.3 for clients of the API; the other side is `door.ts`. */
import { constants } from 'node:crypto';
import { createSecureContext, type PeerCertificate, type SecureContextOptions } from 'node:tls';
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';
import { describeHolder, type TokenName } from '../config/index.js';
import { CoordinatorError } from '../errors/index.js';
import { certificatesOf, holderOf, holderOfNames } from '../network/index.js';

/** PEM texts, of a node. */
export interface ServedFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** PEM texts, of a client: one that shows a token needs no certificate, and one with a certificate no token. */
export interface TlsFiles {
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
}

/** The server must have a node's certificate of the client's own cluster, which its certificate says or else its token; at which address it is found does not matter. Throws `CERTIFICATE_INVALID`. */
export function clientTls(files: TlsFiles, token: TokenName | null): ChannelCredentials {
  try {
    const cluster = files.cert === undefined ? (token?.clusterId ?? null) : clusterOf(files.cert);
    if (files.cert === undefined && token === null) throw new Error('there is neither a certificate nor a token to say who calls');
    if ((files.cert === undefined) !== (files.key === undefined)) throw new Error('a certificate and its key go together');
    const checkServerIdentity = (_host: string, { subjectaltname }: PeerCertificate): Error | undefined => {
      const holder = holderOfNames(subjectaltname);
      if (holder?.role === 'node' && holder.clusterId === cluster) return undefined;
      return new Error(`who answers has the certificate of ${holder === null ? 'nobody of a cluster' : describeHolder(holder)}; a node of cluster ${JSON.stringify(cluster)} is asked for`);
    };
    return credentials.createFromSecureContext(createSecureContext(contextOf(files)), { checkServerIdentity });
  } catch (error) {
    throw new CoordinatorError('CERTIFICATE_INVALID', `the certificate, its key or the authority cannot be used: ${(error as Error).message}`, { cause: error });
  }
}

function clusterOf(pem: string): string | null {
  const [own] = certificatesOf(pem);
  return own === undefined ? null : (holderOf(own)?.clusterId ?? null);
}

function contextOf({ ca, cert, key }: TlsFiles): SecureContextOptions {
  const own = cert === undefined || key === undefined ? {} : { cert, key };
  return { ca, ...own, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', secureOptions: constants.SSL_OP_NO_TICKET };
}
