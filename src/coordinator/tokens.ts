/** The tokens that callers of the API may show. */
import type { ResolvedConfig } from '../config/index.js';
import { isSameTokens, readTokens, type TokenRecord } from '../network/index.js';
import { exposureOf, type FilesChange, KeptFiles } from './kept-files.js';

const WARN_MS = 7 * 86_400_000;
/** Of a token that is made for a shorter time: the last part of it. */
const WARN_SHARE = 0.1;
/** Of those that expire, who is named. */
const NAMED_MAX = 8;

export interface TokensPorts {
  nowMs(): number;
  onChange(change: FilesChange): void;
}

export class Tokens {
  readonly #path: string;
  readonly #files: KeptFiles<readonly TokenRecord[]>;
  readonly #nowMs: () => number;

  private constructor(path: string, files: KeptFiles<readonly TokenRecord[]>, nowMs: () => number) {
    this.#path = path;
    this.#files = files;
    this.#nowMs = nowMs;
  }

  /** Null where none are configured. Rejects with `CONFIG_INVALID`. */
  static async open({ security }: Pick<ResolvedConfig, 'security'>, { nowMs, onChange }: TokensPorts): Promise<Tokens | null> {
    const { tokens: path } = security.api;
    if (path === undefined) return null;
    const files = await KeptFiles.open<readonly TokenRecord[]>({
      name: 'the file of tokens',
      paths: [path],
      read: () => readTokens(path),
      isSame: isSameTokens,
      taken: (records) => `a new file of tokens is taken up: ${records.length} tokens, ${records.filter(({ revokedMs }) => revokedMs !== null).length} of them revoked`,
      onChange,
    });
    return new Tokens(path, files, nowMs);
  }

  /** What is amiss with the file though it is good: a sentence, or null. */
  exposure(): Promise<string | null> {
    return exposureOf('security.api.tokens', this.#path, 'who can learn who has tokens, or give themselves one; chmod it 600, and see that nobody is in it who should not be');
  }

  get current(): readonly TokenRecord[] {
    return this.#files.current;
  }

  /** `listener` is called with what is taken up from now on. */
  onTaken(listener: (records: readonly TokenRecord[]) => void): void {
    this.#files.onTaken(listener);
  }

  watch(): void {
    this.#files.watch();
  }

  close(): void {
    this.#files.close();
  }

  /** Reads the file now. Never rejects: what is wrong with it is the change that it answers. */
  reload(): Promise<FilesChange> {
    return this.#files.reload();
  }

  /** Why health is degraded. */
  reasons(): string[] {
    const nowMs = this.#nowMs();
    const ageing = this.current.filter((record) => isAgeing(record, nowMs));
    const named = ageing.slice(0, NAMED_MAX).map(({ name, expiresMs }) => `${JSON.stringify(name)} ${(expiresMs ?? 0) > nowMs ? 'expires' : 'expired'} at ${new Date(expiresMs ?? 0).toISOString()}`);
    const more = ageing.length > NAMED_MAX ? [`${ageing.length - NAMED_MAX} more`] : [];
    const { refusal } = this.#files;
    return [...(ageing.length === 0 ? [] : [`of the tokens of the API ${[...named, ...more].join(', ')}`]), ...(refusal === null ? [] : [refusal])];
  }
}

/** Soon, or so long ago that its holder may still not have found out. */
function isAgeing({ createdMs, expiresMs, revokedMs }: TokenRecord, nowMs: number): boolean {
  if (expiresMs === null || revokedMs !== null) return false;
  const warnMs = Math.min(WARN_MS, (expiresMs - createdMs) * WARN_SHARE);
  return Math.abs(expiresMs - nowMs) <= warnMs;
}
