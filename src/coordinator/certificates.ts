/**
 * The certificates that this node proves itself with: read at the start, looked at every second, and taken up anew when their files
 * have changed. Files that are not good are refused, and those before go on.
 */
import { stat } from 'node:fs/promises';
import type { ResolvedConfig } from '../config/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type CredentialPaths, type Credentials, isSameCredentials, readCredentials } from '../network/index.js';

const LOOK_MS = 1_000;
const WARN_MS = 7 * 86_400_000;
/** Whom a key's mode must not let read or write. Its group may: many a supervisor hands out keys so. */
const OTHERS = 0o006;

export interface CertificateChange {
  /** `same`: whoever asked is told that there is nothing new. */
  readonly state: 'taken' | 'refused' | 'same';
  readonly sentence: string;
}

export interface CertificatesPorts {
  nowMs(): number;
  onChange(change: CertificateChange): void;
}

interface Whose {
  readonly clusterId: string;
  readonly name: string;
}

export class Certificates {
  readonly #paths: CredentialPaths;
  readonly #whose: Whose;
  readonly #ports: CertificatesPorts;
  readonly #listeners = new Set<(credentials: Credentials) => void>();
  #current: Credentials;
  #refusal: string | null = null;
  /** The refusal that nobody is told once more. */
  #told: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** How the files looked when they were last read, and at the last look. */
  #read: string;
  #seen: string;
  #reading: Promise<CertificateChange> | null = null;

  private constructor(paths: CredentialPaths, whose: Whose, ports: CertificatesPorts, current: Credentials, looks: string) {
    this.#paths = paths;
    this.#whose = whose;
    this.#ports = ports;
    this.#current = current;
    this.#read = looks;
    this.#seen = looks;
  }

  /** Null where none are configured. Rejects with `CONFIG_INVALID`. */
  static async open({ security, clusterId, nodeId }: ResolvedConfig, ports: CertificatesPorts): Promise<Certificates | null> {
    const { tls: paths } = security;
    if (paths === null) return null;
    const whose = { clusterId, name: nodeId };
    const looks = await looksOf(paths);
    return new Certificates(paths, whose, ports, await readCredentials(paths, whose, ports.nowMs()), looks);
  }

  /** What is amiss with a file though it is good: a sentence, or null. */
  async exposure(): Promise<string | null> {
    const { key } = this.#paths;
    const { mode } = await stat(key);
    return (mode & OTHERS) === 0 ? null : `security.tls.key: ${key} is open to everybody on this machine (mode ${(mode & 0o777).toString(8)}), who can be this node with it; chmod it 600, and replace it if others may have read it`;
  }

  get current(): Credentials {
    return this.#current;
  }

  /** `listener` is called with what is taken up from now on. */
  onTaken(listener: (credentials: Credentials) => void): void {
    this.#listeners.add(listener);
  }

  watch(): void {
    this.#timer ??= setInterval(() => void this.#look(), LOOK_MS).unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#listeners.clear();
  }

  /** Reads the files now. Never rejects: what is wrong with them is the change that it answers. */
  reload(): Promise<CertificateChange> {
    this.#told = null;
    return this.#readAgain();
  }

  /** Why health is degraded. */
  reasons(): string[] {
    const { notAfterMs, authorityUntilMs, revoked, serial } = this.#current;
    return [
      ...this.#ageing('the certificate of this node', notAfterMs),
      ...this.#ageing('the authority of its certificate', authorityUntilMs),
      ...(revoked.includes(serial) ? ['the certificate of this node was revoked'] : []),
      ...(this.#refusal === null ? [] : [`the certificate files are refused, and those before them go on: ${this.#refusal}`]),
    ];
  }

  #ageing(what: string, untilMs: number): string[] {
    const leftMs = untilMs - this.#ports.nowMs();
    const at = new Date(untilMs).toISOString();
    if (leftMs > WARN_MS) return [];
    return [leftMs > 0 ? `${what} expires at ${at}` : `${what} expired at ${at}: no new connection is made with it`];
  }

  async #look(): Promise<void> {
    const looks = await looksOf(this.#paths);
    // Whoever writes several files is given until they look the same twice.
    const settled = looks === this.#seen;
    this.#seen = looks;
    // What was refused may not have been good yet, or not have been readable for a moment.
    const due = looks !== this.#read || this.#refusal !== null;
    if (settled && due && this.#timer !== null) await this.#readAgain();
  }

  #readAgain(): Promise<CertificateChange> {
    this.#reading ??= this.#take().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #take(): Promise<CertificateChange> {
    const looks = await looksOf(this.#paths);
    const change = await this.#compare();
    this.#read = looks;
    if (this.#refusal === null || this.#refusal !== this.#told) this.#ports.onChange(change);
    this.#told = this.#refusal;
    return change;
  }

  async #compare(): Promise<CertificateChange> {
    let credentials: Credentials;
    try {
      credentials = await readCredentials(this.#paths, this.#whose, this.#ports.nowMs());
    } catch (thrown) {
      this.#refusal = CoordinatorError.from(thrown).message;
      return { state: 'refused', sentence: `the certificate files are refused, and those before them go on: ${this.#refusal}` };
    }
    this.#refusal = null;
    if (isSameCredentials(credentials, this.#current)) return { state: 'same', sentence: 'the certificate files are as they were' };
    this.#current = credentials;
    for (const listener of this.#listeners) listener(credentials);
    const { serial, notAfterMs, revoked } = credentials;
    return { state: 'taken', sentence: `new certificate files are taken up: serial ${serial}, good until ${new Date(notAfterMs).toISOString()}, ${revoked.length} revoked` };
  }
}

/** Changes when a file does, be it written over, replaced or put behind a link. */
async function looksOf(paths: CredentialPaths): Promise<string> {
  const files = [paths.ca, paths.cert, paths.key, paths.revoked].filter((path) => path !== undefined);
  const looks = await Promise.all(
    files.map(async (path) => {
      try {
        const { ino, size, mtimeMs } = await stat(path);
        return `${ino} ${size} ${mtimeMs}`;
      } catch {
        return 'none';
      }
    }),
  );
  return looks.join();
}
