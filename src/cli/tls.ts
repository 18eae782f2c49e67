/** The flags by which a command proves who it is, and believes whom it talks to. */
import type { Command } from 'commander';
import { nonEmpty, usage } from './arguments.js';

export interface TlsFlags {
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

export interface TlsPaths {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export function tlsOptions(command: Command, whose: string): Command {
  return command
    .option('--tls-ca <file>', 'the authorities that are believed, where the cluster has TLS', nonEmpty)
    .option('--tls-cert <file>', `the certificate of ${whose}`, nonEmpty)
    .option('--tls-key <file>', 'its key', nonEmpty);
}

/** Null where none are given. Throws `USAGE` where one of the three is missing. */
export function tlsPathsOf({ tlsCa: ca, tlsCert: cert, tlsKey: key }: TlsFlags): TlsPaths | null {
  if (ca === undefined && cert === undefined && key === undefined) return null;
  if (ca === undefined || cert === undefined || key === undefined) throw usage('--tls-ca, --tls-cert and --tls-key go together');
  return { ca, cert, key };
}
