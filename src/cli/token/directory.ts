/** A directory with the tokens that were made: the file for the nodes, which has no secret, and one for each token's holder, which is one. */
import { appendFile, mkdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { TokenName, TokenRole } from '../../config/index.js';
import { CoordinatorError } from '../../errors/index.js';
import { newToken, readTokens, revocationLine, tokenHash, tokenLine, type TokenRecord } from '../../network/index.js';
import { SECRET_MODE, writeNew } from '../new-files.js';

const DAY_MS = 86_400_000;

export class TokenDirectory {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** As `security.api.tokens` takes it. */
  get tokens(): string {
    return join(this.#path, 'tokens');
  }

  /** Where its holder finds the token. */
  secretOf(name: string): string {
    return join(this.#path, `${name}.token`);
  }

  /** Null `days` for a token that is good until it is revoked. Rejects with `TOKEN_EXISTS` for a name that is taken, or was. */
  async create(of: TokenName, role: TokenRole, days: number | null): Promise<{ token: string; record: TokenRecord }> {
    const { name } = of;
    await mkdir(this.#path, { recursive: true, mode: 0o700 });
    if ((await this.list()).some((one) => one.name === name)) throw taken(name);
    const text = newToken(of);
    const createdMs = Date.now();
    const record: TokenRecord = { name, role, sha256: tokenHash(text), createdMs, expiresMs: days === null ? null : createdMs + days * DAY_MS, revokedMs: null };
    const token = this.secretOf(name);
    // Of two commands at once one makes the file, and the other no line.
    await writeNew(token, `${text}\n`, SECRET_MODE, () => taken(name));
    await appendFile(this.tokens, tokenLine(record), { mode: SECRET_MODE });
    return { token, record };
  }

  /** Twice does no harm. Rejects with `NOT_FOUND` for a name that no token has. */
  async revoke(name: string): Promise<void> {
    const record = (await this.list()).find((one) => one.name === name);
    if (record === undefined) throw new CoordinatorError('NOT_FOUND', `${this.tokens} has no token of the name ${JSON.stringify(name)}`);
    // One write at the end loses nothing of another command's.
    if (record.revokedMs === null) await appendFile(this.tokens, revocationLine(name, Date.now()), { mode: SECRET_MODE });
  }

  /** None where there is no file yet. Rejects with `TOKEN_INVALID` for one that cannot be read. */
  async list(): Promise<readonly TokenRecord[]> {
    if (!existsSync(this.tokens)) return [];
    try {
      return await readTokens(this.tokens, 'the file of tokens');
    } catch (error) {
      throw new CoordinatorError('TOKEN_INVALID', (error as Error).message, { cause: error });
    }
  }
}

function taken(name: string): CoordinatorError {
  return new CoordinatorError('TOKEN_EXISTS', `there is a token of the name ${JSON.stringify(name)}, or was; give another --name`);
}
