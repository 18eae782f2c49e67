/** A directory with an authority and the certificates that it has issued: a small one, for clusters that have no other. */
import { createPrivateKey } from 'node:crypto';
import { access, appendFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Holder, describeHolder } from '../../config/index.js';
import { CoordinatorError } from '../../errors/index.js';
import { ageFault, certificatesOf, holderOf, hostsOf, serialOf } from '../../network/index.js';
import { refuseOther, replace, SECRET_MODE, writeNew } from '../new-files.js';
import type { Issued } from './x509.js';

/** Paths, as the configuration takes them. */
export interface Paths {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const DAY_MS = 86_400_000;
const AUTHORITY_DAYS = 3_650;
/** Clocks of members differ; a certificate of this moment is to be good at once. */
const BACKDATED_MS = 300_000;
const AUTHORITY = 'ca';
const PUBLIC = 0o644;

export class CertificateDirectory {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  get revoked(): string {
    return join(this.#path, 'revoked');
  }

  pathsOf(name: string): Paths {
    return { ca: join(this.#path, `${AUTHORITY}.crt`), cert: join(this.#path, `${name}.crt`), key: join(this.#path, `${name}.key`) };
  }

  /** Makes the authority where there is none. Rejects with `CERTIFICATE_EXISTS` for a name that is taken: nothing is written over. */
  async create(holder: Holder, hosts: readonly string[], days: number): Promise<Paths> {
    const paths = this.#pathsFor(holder.name);
    await mkdir(this.#path, { recursive: true, mode: 0o700 });
    for (const file of [paths.cert, paths.key]) if (await exists(file)) throw taken(file);
    const { cert, key } = await this.#issue(await this.#authority(holder.clusterId), holder, hosts, days);
    await writeNew(paths.key, key, SECRET_MODE, taken);
    await writeNew(paths.cert, cert, PUBLIC, taken);
    return paths;
  }

  /** A new key and certificate in the place of those that are there, for the same holder and hosts. */
  async rotate(name: string, days: number): Promise<Paths> {
    const paths = this.#pathsFor(name);
    for (const file of [paths.cert, paths.key]) await refuseOther(file, (sentence) => new CoordinatorError('CERTIFICATE_INVALID', sentence));
    const [before] = certificatesOf(await readExisting(paths.cert));
    const holder = before === undefined ? null : holderOf(before);
    if (before === undefined || holder === null) throw new CoordinatorError('CERTIFICATE_INVALID', `${paths.cert} has no certificate of a cluster`);
    const { cert, key } = await this.#issue(await this.#read(), holder, hostsOf(before), days);
    // A node that looks between the two finds that they do not fit, and looks again.
    await replace(paths.key, key, SECRET_MODE);
    await replace(paths.cert, cert, PUBLIC);
    return paths;
  }

  /** Puts the certificate on the list of revoked ones, which is copied to the nodes like any other file. */
  async revoke(name: string): Promise<{ serial: string; revoked: string }> {
    const [certificate] = certificatesOf(await readExisting(this.#pathsFor(name).cert));
    if (certificate === undefined) throw new CoordinatorError('CERTIFICATE_INVALID', `${this.#pathsFor(name).cert} has no certificate`);
    const holder = holderOf(certificate);
    const serial = serialOf(certificate);
    const before = (await exists(this.revoked)) ? await readExisting(this.revoked) : '';
    // Whoever wrote the last line may not have ended it. One write at the end loses nothing of another command's.
    const end = before === '' || before.endsWith('\n') ? '' : '\n';
    await appendFile(this.revoked, `${end}${serial} # ${holder === null ? name : describeHolder(holder)}\n`, { mode: PUBLIC });
    return { serial, revoked: this.revoked };
  }

  #pathsFor(name: string): Paths {
    if (name === AUTHORITY) throw new CoordinatorError('USAGE', `${AUTHORITY} is the name of the authority's own files; give another one`);
    return this.pathsOf(name);
  }

  async #authority(clusterId: string): Promise<Issued> {
    const { cert, key } = this.#authorityPaths();
    // Its key may be kept elsewhere: another authority beside its certificate would be none.
    if (await exists(cert)) return this.#read();
    const { newAuthority } = await import('./x509.js');
    const made = await newAuthority(clusterId, ...validity(AUTHORITY_DAYS));
    await writeNew(key, made.key, SECRET_MODE, taken);
    await writeNew(cert, made.cert, PUBLIC, taken);
    return made;
  }

  async #read(): Promise<Issued> {
    const { cert, key } = this.#authorityPaths();
    return { cert: await readExisting(cert), key: await readExisting(key) };
  }

  async #issue(authority: Issued, holder: Holder, hosts: readonly string[], days: number): Promise<Issued> {
    this.#check(authority, holder.clusterId);
    const { issue } = await import('./x509.js');
    const [notBefore, notAfter] = validity(days);
    return issue(authority, { holder, hosts, notBefore, notAfter });
  }

  /** What would be issued is to be believed, and by its own cluster. Authorities that others have made may serve several. */
  #check({ cert, key }: Issued, clusterId: string): void {
    const paths = this.#authorityPaths();
    const [authority] = certificatesOf(cert);
    if (authority === undefined) throw new CoordinatorError('CERTIFICATE_INVALID', `${paths.cert} has no certificate in PEM`);
    const [, own] = /^CN=cluster (.+)$/.exec(authority.subject) ?? [];
    if (own !== undefined && own !== clusterId) throw new CoordinatorError('USAGE', `${paths.cert} is the authority of cluster ${JSON.stringify(own)}; give --cluster-id ${own}, or another --dir for cluster ${JSON.stringify(clusterId)}`);
    const fault = ageFault(authority, Date.now());
    if (fault !== null) throw new CoordinatorError('CERTIFICATE_INVALID', `the authority in ${paths.cert} ${fault}`);
    if (!authority.checkPrivateKey(createPrivateKey(key))) throw new CoordinatorError('CERTIFICATE_INVALID', `${paths.key} is not the key of the authority in ${paths.cert}`);
  }

  #authorityPaths(): { cert: string; key: string } {
    return this.pathsOf(AUTHORITY);
  }
}

function validity(days: number): [Date, Date] {
  const nowMs = Date.now();
  return [new Date(nowMs - BACKDATED_MS), new Date(nowMs + days * DAY_MS)];
}

async function readExisting(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CoordinatorError(code === 'ENOENT' ? 'NOT_FOUND' : 'CERTIFICATE_INVALID', code === 'ENOENT' ? `there is no ${file}` : `${file} cannot be read: ${message}`, { cause: error });
  }
}

function taken(file: string): CoordinatorError {
  return new CoordinatorError('CERTIFICATE_EXISTS', `${file} exists and is not written over; "vexcoord cert rotate" makes a new one in its place`);
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch {
    return false;
  }
}
