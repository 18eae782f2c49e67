/** TLS 1.3 for clients of the API; the other side is `door.ts`. */
import { constants } from 'node:crypto';
import { createSecureContext, type PeerCertificate, type SecureContextOptions } from 'node:tls';
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';
import { describeHolder } from '../config/index.js';
import { CoordinatorError } from '../errors/index.js';
import { certificatesOf, holderOf, holderOfNames } from '../network/index.js';

/** PEM texts. */
export interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** The server must have a node's certificate of the client's own cluster; at which address it is found does not matter. Throws `CERTIFICATE_INVALID`. */
export function clientTls(files: TlsFiles): ChannelCredentials {
  try {
    const [own] = certificatesOf(files.cert);
    const cluster = own === undefined ? null : (holderOf(own)?.clusterId ?? null);
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

function contextOf({ ca, cert, key }: TlsFiles): SecureContextOptions {
  return { ca, cert, key, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', secureOptions: constants.SSL_OP_NO_TICKET };
}
