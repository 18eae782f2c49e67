import type { CertificateRole } from './certificate-name.js';
import { isNodeId } from './schema.js';

/** What the holder of a token may be; members prove themselves by certificates alone. */
export const TOKEN_ROLES = ['reader', 'publisher', 'operator'] as const satisfies readonly CertificateRole[];
export type TokenRole = (typeof TOKEN_ROLES)[number];

/** What can be read off a token: of which cluster, and whose it is. That it is good is for a node to say. */
export interface TokenName {
  readonly clusterId: string;
  readonly name: string;
}

/** Nothing else begins so: whoever searches files for secrets that got out finds a token by it (docs/formats.md, "Tokens"). */
const PREFIX = 'vexfs-token';
/** 256 bits in base64url. */
const SECRET = /^[A-Za-z0-9_-]{43}$/;

export function tokenText({ clusterId, name }: TokenName, secret: string): string {
  return [PREFIX, clusterId, name, secret].join('/');
}

/** Null for what is no token. */
export function parseToken(text: string): TokenName | null {
  const [prefix, clusterId = '', name = '', secret = '', ...more] = text.split('/');
  const wellFormed = prefix === PREFIX && more.length === 0 && isNodeId(clusterId) && isNodeId(name) && SECRET.test(secret);
  return wellFormed ? { clusterId, name } : null;
}
