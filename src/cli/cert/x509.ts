/** Makes keys and certificates, in memory; nothing here knows of files. */
import 'reflect-metadata';
import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  type PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate as ParsedCertificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { type Holder, holderUri } from '../../config/index.js';

/** PEM texts. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateRequest {
  readonly holder: Holder;
  /** Names and IP addresses at which it is dialled; peers do not check them, other clients of the API may. */
  readonly hosts: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const SERIAL_BYTES = 16;

/** A new authority that signs itself, for one cluster. */
export async function newAuthority(clusterId: string, notBefore: Date, notAfter: Date): Promise<Issued> {
  const keys = await newKeys();
  const cert = await X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: nameOf(`cluster ${clusterId}`),
    notBefore,
    notAfter,
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      // It signs holders' certificates and no other authority's.
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: pemOf(cert), key: await keyPem(keys.privateKey) };
}

export async function issue(authority: Issued, { holder, hosts, notBefore, notAfter }: CertificateRequest): Promise<Issued> {
  const keys = await newKeys();
  const issuer = new ParsedCertificate(authority.cert);
  const cert = await X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: nameOf(`${holder.role} ${holder.name}`),
    issuer: issuer.subjectName,
    notBefore,
    notAfter,
    signingKey: await signingKey(authority.key),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    extensions: await extensionsOf(holder, hosts, keys.publicKey, issuer.publicKey),
  });
  return { cert: pemOf(cert), key: await keyPem(keys.privateKey) };
}

async function extensionsOf(holder: Holder, hosts: readonly string[], own: webcrypto.CryptoKey, issuer: PublicKey): Promise<Extension[]> {
  // Only a node answers; all of them dial.
  const usages = [ExtendedKeyUsage.clientAuth, ...(holder.role === 'node' ? [ExtendedKeyUsage.serverAuth] : [])];
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension(usages),
    new SubjectAlternativeNameExtension([
      { type: 'url', value: holderUri(holder) },
      ...hosts.map((host) => ({ type: isIP(host) === 0 ? ('dns' as const) : ('ip' as const), value: host })),
    ]),
    await SubjectKeyIdentifierExtension.create(own),
    await AuthorityKeyIdentifierExtension.create(issuer),
  ];
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;
}

function signingKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' });
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']) as Promise<webcrypto.CryptoKey>;
}

async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** The text as Node writes it, with a line feed at its end, so that files can be joined. */
function pemOf(certificate: ParsedCertificate): string {
  return new X509Certificate(Buffer.from(certificate.rawData)).toString();
}

const nameOf = (commonName: string): string => new Name([{ CN: [commonName] }]).toString();

/** Positive and of full length whatever is drawn. */
function newSerial(): string {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}
