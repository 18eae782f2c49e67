/** What is read off X.509 certificates, whoever made them. */
import { X509Certificate } from 'node:crypto';
import { type Holder, parseHolder } from '../config/index.js';

const BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

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
  return hex.replaceAll(':', '').toLowerCase().replace(/^(-?)0+(?=.)/, '$1');
}

export const notBeforeMs = (certificate: X509Certificate): number => Date.parse(certificate.validFrom);
export const notAfterMs = (certificate: X509Certificate): number => Date.parse(certificate.validTo);

/** The rest of a sentence about a certificate that is not good at that moment, or null. */
export function ageFault(certificate: X509Certificate, nowMs: number): string | null {
  if (nowMs > notAfterMs(certificate)) return `expired at ${new Date(notAfterMs(certificate)).toISOString()}`;
  if (nowMs < notBeforeMs(certificate)) return `is good only from ${new Date(notBeforeMs(certificate)).toISOString()} on`;
  return null;
}

/** The same about one that the library has just not believed, for this code of its own. `whose`: the authorities that it was looked at with. */
export function faultOf(certificate: X509Certificate, code: string, whose: string): string {
  switch (code) {
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      // The code may be that of any of the chain.
      return ageFault(certificate, Date.now()) ?? `was issued by an authority that is not good now (${code})`;
    case 'INVALID_PURPOSE':
      return 'was issued for another purpose';
    default:
      return `was not issued by an authority ${whose} (${code})`;
  }
}

/** When the first of the chain is believed no more though it is good itself: an authority in it, or the last one of those that have issued it, expires. */
export function authorityUntilMs([own, ...between]: readonly X509Certificate[], authorities: readonly X509Certificate[]): number {
  const chain = own === undefined ? between : [own, ...between];
  const issuers = authorities.filter((by) => chain.some((one) => one.checkIssued(by) && one.verify(by.publicKey)));
  return Math.min(Math.max(...issuers.map(notAfterMs)), ...between.map(notAfterMs));
}

/** The names and addresses at which its holder is dialled. */
export function hostsOf(certificate: X509Certificate): string[] {
  return (certificate.subjectAltName ?? '').split(', ').flatMap((name) => {
    const [, host] = /^(?:DNS|IP Address):(.+)$/.exec(name) ?? [];
    return host === undefined ? [] : [host];
  });
}
