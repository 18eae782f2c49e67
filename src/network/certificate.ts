/** What is read off X.509 certificates, whoever made them. */
import { X509Certificate } from 'node:crypto';
import { type Holder, parseHolder } from '../config/index.js';

const BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
/** A longer chain than anybody has. */
const CHAIN_MAX = 8;

/** The certificates of a PEM text in their order. Throws the library's error for one that is none. */
export function certificatesOf(pem: string): X509Certificate[] {
  return (pem.match(BLOCK) ?? []).map((block) => new X509Certificate(block));
}

/** Whom it is for; null where it names nobody of ours, or more than one, which would leave open who speaks. */
export function holderOf(certificate: X509Certificate): Holder | null {
  return holderOfNames(certificate.subjectAltName);
}

/** From the alternative names as Node writes them. */
export function holderOfNames(names: string | undefined): Holder | null {
  // Node writes a name with a comma or a quote in it as a JSON string, so that no name can pass for two.
  const holders = (names ?? '').split(', ').flatMap((name) => (name.startsWith('URI:') ? (parseHolder(name.slice('URI:'.length)) ?? []) : []));
  return holders.length === 1 ? (holders[0] ?? null) : null;
}

/** Hexadecimal, as `cert inspect` and a list of revoked ones have it. */
export function serialOf(certificate: X509Certificate): string {
  return canonicalSerial(certificate.serialNumber);
}

export function canonicalSerial(hex: string): string {
  return hex.replaceAll(':', '').toLowerCase().replace(/^0+(?=.)/, '');
}

export const notBeforeMs = (certificate: X509Certificate): number => Date.parse(certificate.validFrom);
export const notAfterMs = (certificate: X509Certificate): number => Date.parse(certificate.validTo);

/** Whether the first of the chain was issued, through the others, by one of the authorities. */
export function isIssuedBy(chain: readonly X509Certificate[], authorities: readonly X509Certificate[]): boolean {
  let [at] = chain;
  for (let steps = 0; at !== undefined && steps < CHAIN_MAX; steps++) {
    const issued = at;
    const signed = (by: X509Certificate): boolean => issued.checkIssued(by) && issued.verify(by.publicKey);
    if (authorities.some(signed)) return true;
    at = chain.find((other) => other !== issued && signed(other));
  }
  return false;
}

/** The names and addresses at which its holder is dialled. */
export function hostsOf(certificate: X509Certificate): string[] {
  return (certificate.subjectAltName ?? '').split(', ').flatMap((name) => {
    const [, host] = /^(?:DNS|IP Address):(.+)$/.exec(name) ?? [];
    return host === undefined ? [] : [host];
  });
}
