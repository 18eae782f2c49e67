/** The certificates that this node proves itself with. */
import type { ResolvedConfig } from '../config/index.js';
import { type CredentialPaths, type Credentials, isSameCredentials, readCredentials } from '../network/index.js';
import { exposureOf, type FilesChange, KeptFiles } from './kept-files.js';

const WARN_MS = 7 * 86_400_000;

export type CertificateChange = FilesChange;

export interface CertificatesPorts {
  nowMs(): number;
  onChange(change: CertificateChange): void;
}

export class Certificates {
  readonly #paths: CredentialPaths;
  readonly #files: KeptFiles<Credentials>;
  readonly #nowMs: () => number;

  private constructor(paths: CredentialPaths, files: KeptFiles<Credentials>, nowMs: () => number) {
    this.#paths = paths;
    this.#files = files;
    this.#nowMs = nowMs;
  }

  /** Null where none are configured. Rejects with `CONFIG_INVALID`. */
  static async open({ security, clusterId, nodeId }: Pick<ResolvedConfig, 'security' | 'clusterId' | 'nodeId'>, { nowMs, onChange }: CertificatesPorts): Promise<Certificates | null> {
    const { tls: paths } = security;
    if (paths === null) return null;
    const files = await KeptFiles.open<Credentials>({
      name: 'the certificate files',
      paths: [paths.ca, paths.cert, paths.key, paths.revoked].filter((path) => path !== undefined),
      read: () => readCredentials(paths, { clusterId, name: nodeId }, nowMs()),
      isSame: isSameCredentials,
      taken: ({ serial, notAfterMs, revoked }) => `new certificate files are taken up: serial ${serial}, good until ${new Date(notAfterMs).toISOString()}, ${revoked.length} revoked`,
      onChange,
    });
    return new Certificates(paths, files, nowMs);
  }

  /** What is amiss with a file though it is good: a sentence, or null. */
  exposure(): Promise<string | null> {
    return exposureOf('security.tls.key', this.#paths.key, 'who can be this node with it; chmod it 600, and replace it if others may have read it');
  }

  get current(): Credentials {
    return this.#files.current;
  }

  /** `listener` is called with what is taken up from now on. */
  onTaken(listener: (credentials: Credentials) => void): void {
    this.#files.onTaken(listener);
  }

  watch(): void {
    this.#files.watch();
  }

  close(): void {
    this.#files.close();
  }

  /** Reads the files now. Never rejects: what is wrong with them is the change that it answers. */
  reload(): Promise<CertificateChange> {
    return this.#files.reload();
  }

  /** Why health is degraded. */
  reasons(): string[] {
    const { notAfterMs, authorityUntilMs, revoked, serial } = this.current;
    const { refusal } = this.#files;
    return [
      ...this.#ageing('the certificate of this node', notAfterMs),
      ...this.#ageing('the authority of its certificate', authorityUntilMs),
      ...(revoked.includes(serial) ? ['the certificate of this node was revoked'] : []),
      ...(refusal === null ? [] : [refusal]),
    ];
  }

  #ageing(what: string, untilMs: number): string[] {
    const leftMs = untilMs - this.#nowMs();
    const at = new Date(untilMs).toISOString();
    if (leftMs > WARN_MS) return [];
    return [leftMs > 0 ? `${what} expires at ${at}` : `${what} expired at ${at}: no new connection is made with it`];
  }
}
