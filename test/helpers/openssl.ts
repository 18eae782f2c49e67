import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';

/** What another implementation answers; null where it is not installed, which passes the test. */
export function openssl(t: ExecutionContext, dir: string, ...args: string[]): string | null {
  try {
    return execFileSync('openssl', args, { cwd: dir, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    t.log('skipped: openssl is not installed');
    t.pass();
    return null;
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** An authority and a certificate of this name that is for every purpose, as authorities other than ours issue them; PEM texts. */
export function forEveryPurpose(t: ExecutionContext, dir: string, name: string): { ca: string; cert: string; key: string } | null {
  if (openssl(t, dir, 'req', '-x509', ...NEW_KEY, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=ca') === null) return null;
  writeFileSync(join(dir, 'extensions'), `subjectAltName=URI:${name}`);
  openssl(t, dir, 'req', ...NEW_KEY, '-keyout', 'own.key', '-out', 'request', '-subj', '/CN=own');
  openssl(t, dir, 'x509', '-req', '-in', 'request', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'extensions', '-out', 'own.crt');
  const [ca = '', cert = '', key = ''] = ['ca.crt', 'own.crt', 'own.key'].map((file) => readFileSync(join(dir, file), 'utf8'));
  return { ca, cert, key };
}
