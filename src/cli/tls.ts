/** The flags by which a command proves who it is, and believes whom it talks to. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { ApiClientOptions } from '../api/index.js';
import { CoordinatorError } from '../errors/index.js';

export interface TlsFlags {
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

export interface ProofFlags extends TlsFlags {
  readonly tokenFile?: string;
  readonly insecure?: boolean;
}

/** Has the token itself. */
const TOKEN_VARIABLE = 'VEXCOORD_TOKEN';

export interface TlsPaths {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export function tlsOptions(command: Command, whose: string): Command {
  return command
    .option('--tls-ca <file>', 'the authorities that are believed, where the cluster has TLS')
    .option('--tls-cert <file>', `the certificate of ${whose}`)
    .option('--tls-key <file>', 'its key');
}

/** The same, and a token in the place of the certificate. */
export function proofOptions(command: Command): Command {
  return tlsOptions(command, 'who asks')
    .option('--token-file <file>', `a token in the place of the certificate (default: what ${TOKEN_VARIABLE} has)`)
    .option('--insecure', 'let the token go to another machine in plain text');
}

/** Null where none are given. Throws `USAGE` where one of the three is missing. */
export function tlsPathsOf({ tlsCa: ca, tlsCert: cert, tlsKey: key }: TlsFlags): TlsPaths | null {
  if (ca === undefined && cert === undefined && key === undefined) return null;
  if (ca === undefined || cert === undefined || key === undefined) throw new CoordinatorError('USAGE', '--tls-ca, --tls-cert and --tls-key go together');
  return { ca, cert, key };
}

/** How a command proves to a node who asks, and which nodes it believes. Throws `USAGE`, and `CONFIG_INVALID` for a file that cannot be read. */
export function proofOf(flags: ProofFlags): ApiClientOptions {
  const { tlsCa, tlsCert, tlsKey, tokenFile, insecure = false } = flags;
  // A secret on the command line is everybody's who can list processes.
  const token = tokenFile === undefined ? process.env[TOKEN_VARIABLE] : read('--token-file', tokenFile);
  const shown = { token: token === undefined || token === '' ? null : token.trim(), insecure };
  if (shown.token !== null && tlsCa !== undefined && tlsCert === undefined && tlsKey === undefined) return { ...shown, tls: { ca: read('--tls-ca', tlsCa) } };
  const paths = tlsPathsOf(flags);
  return { ...shown, tls: paths === null ? null : { ca: read('--tls-ca', paths.ca), cert: read('--tls-cert', paths.cert), key: read('--tls-key', paths.key) } };
}

function read(flag: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new CoordinatorError('CONFIG_INVALID', `${flag}: ${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}
