/**
 * Tokens that callers of the API may show in the place of a certificate: how they are made, and the file in which a node has them.
 * It has no secret: of each token a hash, by which the token is known when it comes (docs/formats.md, "Tokens").
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { isNodeId, parseToken, TOKEN_ROLES, type TokenName, type TokenRole, tokenText } from '../config/index.js';
import { fileInvalid, readSettingsFile } from './settings-file.js';

export interface TokenRecord {
  readonly name: string;
  readonly role: TokenRole;
  /** SHA-256 of the token's text, hexadecimal. */
  readonly sha256: string;
  readonly createdMs: number;
  /** Null for one that is good until it is revoked. */
  readonly expiresMs: number | null;
  readonly revokedMs: number | null;
}

const SECRET_BYTES = 32;
const TOKENS_MAX = 1_000;
const HASH = /^[0-9a-f]{64}$/;
const NOBODYS = Buffer.alloc(32);

/** A token that nobody has had before. */
export function newToken(of: TokenName): string {
  return tokenText(of, randomBytes(SECRET_BYTES).toString('base64url'));
}

export function tokenHash(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/** The line by which a token gets into the file. */
export function tokenLine({ name, role, sha256, createdMs, expiresMs }: TokenRecord): string {
  return `${JSON.stringify({ name, role, sha256, created: isoOf(createdMs), ...(expiresMs === null ? {} : { expires: isoOf(expiresMs) }) })}\n`;
}

/** The line by which it is revoked: at the end, since the file is only ever added to. */
export function revocationLine(name: string, revokedMs: number): string {
  return `${JSON.stringify({ name, revoked: isoOf(revokedMs) })}\n`;
}

const isoOf = (ms: number): string => new Date(ms).toISOString();

/** Rejects with `CONFIG_INVALID` and a sentence that names the file and the line. `what` is how it speaks of the file. */
export async function readTokens(path: string, what = 'security.api.tokens'): Promise<TokenRecord[]> {
  const text = await readSettingsFile(what, path);
  const records = new Map<string, TokenRecord>();
  for (const [at, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const fault = take(records, line);
    if (fault !== null) throw fileInvalid(what, path, `line ${at + 1} ${fault}`);
  }
  if (records.size > TOKENS_MAX) throw fileInvalid(what, path, `has ${records.size} tokens; at most ${TOKENS_MAX} are taken`);
  return [...records.values()];
}

/** Whether two readings have the same contents. */
export function isSameTokens(one: readonly TokenRecord[], other: readonly TokenRecord[]): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** What is wrong with the line, or null. */
function take(records: Map<string, TokenRecord>, line: string): string | null {
  let said: unknown;
  try {
    said = JSON.parse(line);
  } catch {
    return 'is no JSON';
  }
  if (typeof said !== 'object' || said === null) return 'is no JSON object';
  const { name, role, sha256, created, expires, revoked, ...more } = said as Record<string, unknown>;
  const [stray] = Object.keys(more);
  // What a later release may add could be what keeps a token from being used.
  if (stray !== undefined) return `has ${JSON.stringify(stray)}, which this release does not know`;
  if (typeof name !== 'string' || !isNodeId(name)) return 'has no name of a token';
  const [createdMs, expiresMs, revokedMs] = [created, expires, revoked].map(msOf);
  if (createdMs === undefined || expiresMs === undefined || revokedMs === undefined) return 'has a time that is none';
  const before = records.get(name);
  if (role === undefined && sha256 === undefined && revokedMs !== null) {
    if (before === undefined) return `revokes ${JSON.stringify(name)}, which no line before it has made`;
    records.set(name, { ...before, revokedMs: before.revokedMs ?? revokedMs });
    return null;
  }
  const known = TOKEN_ROLES.find((one) => one === role);
  if (known === undefined) return `has no role; it is one of ${TOKEN_ROLES.join(', ')}`;
  if (typeof sha256 !== 'string' || !HASH.test(sha256)) return 'has no sha256 of a token';
  if (createdMs === null) return 'does not say when the token was created';
  if (before !== undefined) return `makes ${JSON.stringify(name)} a second time`;
  records.set(name, { name, role: known, sha256, createdMs, expiresMs, revokedMs });
  return null;
}

/** Null where there is none, undefined for what is no time. */
function msOf(value: unknown): number | null | undefined {
  if (value === undefined) return null;
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}

/** Finds whose a token is. */
export class TokenTable {
  readonly #records: ReadonlyMap<string, TokenRecord & { readonly hash: Buffer }>;

  constructor(records: readonly TokenRecord[]) {
    this.#records = new Map(records.map((record) => [record.name, { ...record, hash: Buffer.from(record.sha256, 'hex') }]));
  }

  /** The record of a token that is one of these, be it still good or not; how long that takes says nothing of the secret. */
  find(token: string): TokenRecord | null {
    const record = this.#records.get(parseToken(token)?.name ?? '');
    const isIt = timingSafeEqual(createHash('sha256').update(token).digest(), record?.hash ?? NOBODYS);
    return isIt && record !== undefined ? record : null;
  }

  /** As it stands now for who has shown the token before; null for one that is no longer there, or another one now. */
  current({ name, sha256, role }: TokenRecord): TokenRecord | null {
    const record = this.#records.get(name);
    return record?.sha256 === sha256 && record.role === role ? record : null;
  }
}
