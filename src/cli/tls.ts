/** The flags by which a command proves who it is, and believes whom it talks to. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { CoordinatorError } from '../errors/index.js';

export interface TlsFlags {
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

/** Of files, or what is in them. */
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

/** Null where none are given. Throws `USAGE` where one of the three is missing. */
export function tlsPathsOf({ tlsCa: ca, tlsCert: cert, tlsKey: key }: TlsFlags): TlsPaths | null {
  if (ca === undefined && cert === undefined && key === undefined) return null;
  if (ca === undefined || cert === undefined || key === undefined) throw new CoordinatorError('USAGE', '--tls-ca, --tls-cert and --tls-key go together');
  return { ca, cert, key };
}

/** What is in the files, or null. Throws `USAGE`, and `CONFIG_INVALID` for one that cannot be read. */
export function readTls(flags: TlsFlags): TlsPaths | null {
  const paths = tlsPathsOf(flags);
  return paths === null ? null : { ca: read('ca', paths.ca), cert: read('cert', paths.cert), key: read('key', paths.key) };
}

function read(what: keyof TlsPaths, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new CoordinatorError('CONFIG_INVALID', `--tls-${what}: ${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}
