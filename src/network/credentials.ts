/** What a member proves itself with: read from files, checked, and kept as plain data that crosses into the Worker. */
import { createPrivateKey, type X509Certificate } from 'node:crypto';
import { describeHolder, type Holder } from '../config/index.js';
import type { CoordinatorError } from '../errors/index.js';
import { ageFault, authorityUntilMs, canonicalSerial, certificatesOf, faultOf, holderOf, notAfterMs, serialOf } from './certificate.js';
import { rehearse } from './rehearsal.js';
import { fileInvalid, readSettingsFile } from './settings-file.js';

/** Where the files are. */
export interface CredentialPaths {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** Serial numbers of revoked certificates. */
  readonly revoked?: string | undefined;
}

export interface Credentials {
  /** PEM texts. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** Of certificates that are believed no more, as `serialOf` writes them. */
  readonly revoked: readonly string[];
  readonly holder: Holder;
  readonly serial: string;
  readonly notAfterMs: number;
  /** When nobody believes it any more for want of a good authority. */
  readonly authorityUntilMs: number;
}

/** A longer one is no file of ours. */
const SERIAL = /^-?[0-9A-Fa-f]{1,40}$/;

/**
 * Reads the files and checks that others will believe them: the key is the certificate's, it is good now, it is `whose`, and TLS
 * takes it in both roles. Rejects with `CONFIG_INVALID` and a sentence that names the file.
 */
export async function readCredentials(paths: CredentialPaths, whose: Pick<Holder, 'clusterId' | 'name'>, nowMs: number): Promise<Credentials> {
  const [ca, cert, key, list] = await Promise.all([text('ca', paths.ca), text('cert', paths.cert), text('key', paths.key), paths.revoked === undefined ? '' : text('revoked', paths.revoked)]);
  const authorities = parse('ca', paths.ca, ca);
  const chain = parse('cert', paths.cert, cert);
  const [own] = chain;
  if (own === undefined) throw invalid('cert', paths.cert, 'has no certificate in PEM');
  checkKey(paths, own, key);
  const [first] = authorities;
  if (first !== undefined && authorities.every((one) => ageFault(one, nowMs) !== null)) throw invalid('ca', paths.ca, ageFault(first, nowMs) ?? '');
  const fault = ageFault(own, nowMs);
  if (fault !== null) throw invalid('cert', paths.cert, fault);
  const holder = holderOf(own);
  const wanted: Holder = { ...whose, role: 'node' };
  if (holder === null) throw invalid('cert', paths.cert, `does not say whose it is; this is ${describeHolder(wanted)}`);
  if (holder.role !== 'node' || holder.name !== whose.name || holder.clusterId !== whose.clusterId) {
    throw invalid('cert', paths.cert, `is that of ${describeHolder(holder)}; this is ${describeHolder(wanted)}`);
  }
  await checkTrust(paths, own, { ca, cert, key });
  const revoked = serialsOf(paths.revoked ?? '', list);
  return { ca, cert, key, revoked, holder, serial: serialOf(own), notAfterMs: notAfterMs(own), authorityUntilMs: authorityUntilMs(chain, authorities) };
}

/** Whether two readings have the same contents. */
export function isSameCredentials(one: Credentials, other: Credentials): boolean {
  return one.ca === other.ca && one.cert === other.cert && one.key === other.key && one.revoked.join() === other.revoked.join();
}

const text = (what: keyof CredentialPaths, path: string): Promise<string> => readSettingsFile(`security.tls.${what}`, path);

function parse(what: keyof CredentialPaths, path: string, pem: string): X509Certificate[] {
  try {
    const certificates = certificatesOf(pem);
    if (certificates.length > 0) return certificates;
  } catch (error) {
    throw invalid(what, path, `has what is no certificate: ${(error as Error).message}`, error);
  }
  throw invalid(what, path, 'has no certificate in PEM');
}

function checkKey(paths: CredentialPaths, own: X509Certificate, key: string): void {
  let fits: boolean;
  try {
    fits = own.checkPrivateKey(createPrivateKey(key));
  } catch (error) {
    throw invalid('key', paths.key, `has no private key that can be read: ${(error as Error).message}`, error);
  }
  if (!fits) throw invalid('key', paths.key, `is not the key of the certificate in ${paths.cert}`);
}

async function checkTrust(paths: CredentialPaths, own: X509Certificate, pems: { ca: string; cert: string; key: string }): Promise<void> {
  let code: string | null;
  try {
    code = await rehearse(pems);
  } catch (error) {
    throw invalid('cert', paths.cert, `cannot be used for TLS: ${(error as Error).message}`, error);
  }
  if (code !== null) throw invalid('cert', paths.cert, faultOf(own, code, `in ${paths.ca}`));
}

/** One a line; what follows # is for people. */
function serialsOf(path: string, list: string): string[] {
  return list.split(/\r\n?|\n/).flatMap((line, at) => {
    const said = line.replace(/#.*$/, '').trim();
    if (said === '') return [];
    const serial = said.replaceAll(':', '');
    if (!SERIAL.test(serial)) throw invalid('revoked', path, `has no serial number in line ${at + 1}: ${JSON.stringify(said.slice(0, 80))}`);
    return [canonicalSerial(serial)];
  });
}

function invalid(what: keyof CredentialPaths, path: string, why: string, cause?: unknown): CoordinatorError {
  return fileInvalid(`security.tls.${what}`, path, why, cause);
}
