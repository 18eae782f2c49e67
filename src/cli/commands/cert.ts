import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { CERTIFICATE_ROLES, type CertificateRole, describeHolder, parseAddress } from '../../config/index.js';
import { CoordinatorError } from '../../errors/index.js';
import { certificatesOf, holderOf, hostsOf, notAfterMs, notBeforeMs, serialOf } from '../../network/index.js';
import { memberId, nonEmpty, outputOption, repeated, wholeNumber } from '../arguments.js';
import { CertificateDirectory, type Paths } from '../cert/directory.js';
import { facts, type OutputFormat, writeJson, writeLine } from '../output.js';

interface OfDirectory {
  readonly dir: string;
  readonly name: string;
  readonly output: OutputFormat;
}

interface CreateFlags extends OfDirectory {
  readonly role: CertificateRole;
  readonly clusterId: string;
  readonly host?: string[];
  readonly days: number;
}

const DAYS = 365;
const DAYS_MAX = 3_650;

export function registerCert(program: Command): void {
  const cert = program
    .command('cert')
    .description('make, renew and revoke the certificates of a cluster that has no other authority, and read any')
    .addHelpText('after', '\nExample:\n  vexcoord cert create --dir ./certificates --name a --role node --host 10.0.0.1');
  const create = cert
    .command('create')
    .description('make a key and a certificate, and the authority at the first use; nothing is written over')
    .addOption(new Option('--role <role>', 'what its holder is').choices(CERTIFICATE_ROLES).makeOptionMandatory())
    .option('--cluster-id <id>', 'the cluster that it is for', memberId, 'vexfs')
    .option('--host <host>', 'a name or an IP address at which a node is dialled; may be repeated', repeated(host))
    .addHelpText('after', '\nExample:\n  vexcoord cert create --dir ./certificates --name a --role node --cluster-id vexfs --host 10.0.0.1')
    .action(createCertificate);
  const rotate = cert
    .command('rotate')
    .description('make a new key and certificate in place of those that are there; a running node takes them up')
    .addHelpText('after', '\nExample:\n  vexcoord cert rotate --dir ./certificates --name a')
    .action(rotateCertificate);
  const revoke = cert
    .command('revoke')
    .description('put a certificate on the list of revoked ones (security.tls.revoked)')
    .addHelpText('after', '\nExample:\n  vexcoord cert revoke --dir ./certificates --name a')
    .action(revokeCertificate);
  for (const command of [create, rotate, revoke]) {
    outputOption(command).requiredOption('--dir <dir>', 'where the authority and its certificates are', nonEmpty).requiredOption('--name <name>', 'of a node, its node id', memberId);
  }
  for (const command of [create, rotate]) command.option('--days <n>', 'how long it is good', wholeNumber(1, DAYS_MAX), DAYS);
  outputOption(
    cert
      .command('inspect')
      .description('say whose certificate a file has, and how long it is good')
      .argument('<file>', 'a certificate, PEM')
      .addHelpText('after', '\nExample:\n  vexcoord cert inspect ./certificates/a.crt')
      .action(inspect),
  );
}

async function createCertificate({ dir, name, role, clusterId, host: hosts = [], days, output }: CreateFlags): Promise<void> {
  const paths = await new CertificateDirectory(dir).create({ clusterId, role, name }, hosts, days);
  await writePaths(paths, output);
}

async function rotateCertificate({ dir, name, days, output }: OfDirectory & { readonly days: number }): Promise<void> {
  await writePaths(await new CertificateDirectory(dir).rotate(name, days), output);
}

async function revokeCertificate({ dir, name, output }: OfDirectory): Promise<void> {
  const { serial, revoked } = await new CertificateDirectory(dir).revoke(name);
  if (output === 'json') return writeJson({ serial, revoked });
  await writeLine(`${revoked} has ${serial}; nodes whose security.tls.revoked it is refuse it, and cut who uses it.`);
}

function writePaths(paths: Paths, output: OutputFormat): Promise<void> {
  if (output === 'json') return writeJson(paths);
  return writeLine(facts([['ca', paths.ca], ['cert', paths.cert], ['key', paths.key]]));
}

async function inspect(file: string, { output }: { readonly output: OutputFormat }): Promise<void> {
  const [certificate] = read(file);
  if (certificate === undefined) throw new CoordinatorError('CERTIFICATE_INVALID', `${file} has no certificate in PEM`);
  const holder = holderOf(certificate);
  const about = {
    clusterId: holder?.clusterId ?? null,
    role: holder?.role ?? null,
    name: holder?.name ?? null,
    hosts: hostsOf(certificate),
    authority: certificate.ca,
    subject: certificate.subject,
    issuer: certificate.issuer,
    serial: serialOf(certificate),
    notBefore: new Date(notBeforeMs(certificate)).toISOString(),
    notAfter: new Date(notAfterMs(certificate)).toISOString(),
    fingerprint256: certificate.fingerprint256,
  };
  if (output === 'json') return writeJson(about);
  await writeLine(
    facts([
      ['holder', holder === null ? (about.authority ? 'an authority' : 'nobody of a cluster') : describeHolder(holder)],
      ['hosts', about.hosts.join(', ') || '-'],
      ['subject', about.subject],
      ['issuer', about.issuer],
      ['serial', about.serial],
      ['good', `from ${about.notBefore} to ${about.notAfter}`],
      ['SHA-256', about.fingerprint256],
    ]),
  );
}

function read(file: string) {
  try {
    return certificatesOf(readFileSync(file, 'utf8'));
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new CoordinatorError(missing ? 'NOT_FOUND' : 'CERTIFICATE_INVALID', missing ? `there is no ${file}` : `${file} cannot be read as a certificate: ${(error as Error).message}`, { cause: error });
  }
}

const host = (text: string): string => {
  if (isIP(text) === 0 && parseAddress(`${text}:1`) === null) throw new InvalidArgumentError('It must be a host name or an IP address, without a port.');
  return text;
};
