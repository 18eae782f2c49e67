import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { CertificateDirectory } from '../dist/cli/cert/directory.js';
import { issue, newAuthority } from '../dist/cli/cert/x509.js';
import { holderUri, parseHolder, type ResolvedConfig } from '../dist/config/index.js';
import { type CertificateChange, Certificates } from '../dist/coordinator/certificates.js';
import { certificatesOf, holderOf, hostsOf, serialOf } from '../dist/network/certificate.js';
import { type CredentialPaths, readCredentials } from '../dist/network/credentials.js';
import { vexcoord } from './cli-run.js';
import { codeOf, room, sleep, until } from './helpers/cluster.js';
import { forEveryPurpose, openssl } from './helpers/openssl.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

test('a name in a certificate is read back as it was written, and nothing else is', (t) => {
  const holder = { clusterId: 'vex-1', role: 'node', name: 'a.b_c' } as const;
  t.is(holderUri(holder), 'vexfs://vex-1/node/a.b_c');
  t.deepEqual(parseHolder(holderUri(holder)), holder);
  for (const wrong of ['', 'vexfs://c/node', 'vexfs://c/node/a/b', 'vexfs://c/king/a', 'VEXFS://c/node/a', 'vexfs://c/node/', 'vexfs:///node/a', 'vexfs://c/node/a%20b', 'https://c/node/a']) {
    t.is(parseHolder(wrong), null, wrong);
  }
});

test('cert makes an authority once, keys that only their owner reads, and writes over nothing', async (t) => {
  const dir = join(room(t), 'certificates');
  const made = await vexcoord(['cert', 'create', '--dir', dir, '--name', 'a', '--role', 'node', '--cluster-id', 'test', '--host', '127.0.0.1', '--host', 'a.example', '--output', 'json']);
  t.is(made.status, 0, made.stderr);
  const paths = JSON.parse(made.stdout) as CredentialPaths;
  t.deepEqual(paths, { ca: join(dir, 'ca.crt'), cert: join(dir, 'a.crt'), key: join(dir, 'a.key') });
  for (const key of [paths.key, join(dir, 'ca.key')]) t.is(statSync(key).mode & 0o777, 0o600, key);
  t.is(statSync(dir).mode & 0o777, 0o700);
  const before = readFileSync(paths.cert, 'utf8');
  const authority = readFileSync(paths.ca, 'utf8');
  const [certificate] = certificatesOf(before);
  t.deepEqual(holderOf(certificate!), { clusterId: 'test', role: 'node', name: 'a' });
  t.deepEqual(hostsOf(certificate!), ['127.0.0.1', 'a.example']);

  const again = await vexcoord(['cert', 'create', '--dir', dir, '--name', 'a', '--role', 'node']);
  t.is(again.status, 1);
  t.regex(again.stderr, /^CERTIFICATE_EXISTS: .*a\.crt exists and is not written over/);
  t.is(readFileSync(paths.cert, 'utf8'), before);
  const other = await vexcoord(['cert', 'create', '--dir', dir, '--name', 'tool', '--role', 'publisher', '--cluster-id', 'test']);
  t.is(other.status, 0, other.stderr);
  t.is(readFileSync(paths.ca, 'utf8'), authority);

  const inspected = await vexcoord(['cert', 'inspect', paths.cert, '--output', 'json']);
  const about = JSON.parse(inspected.stdout) as Record<string, unknown>;
  t.like(about, { clusterId: 'test', role: 'node', name: 'a', authority: false, issuer: 'CN=cluster test', serial: serialOf(certificate!) });

  const revoked = await vexcoord(['cert', 'revoke', '--dir', dir, '--name', 'a', '--output', 'json']);
  t.deepEqual(JSON.parse(revoked.stdout), { serial: serialOf(certificate!), revoked: join(dir, 'revoked') });
  const rotated = await vexcoord(['cert', 'rotate', '--dir', dir, '--name', 'a', '--output', 'json']);
  t.deepEqual(JSON.parse(rotated.stdout), paths);
  const [renewed] = certificatesOf(readFileSync(paths.cert, 'utf8'));
  t.not(serialOf(renewed!), serialOf(certificate!));
  t.deepEqual([holderOf(renewed!), hostsOf(renewed!)], [holderOf(certificate!), hostsOf(certificate!)]);
  t.is(statSync(paths.key).mode & 0o777, 0o600);
  const read = await readCredentials({ ...paths, revoked: join(dir, 'revoked') }, { clusterId: 'test', name: 'a' }, Date.now());
  t.deepEqual(read.revoked, [serialOf(certificate!)]);
  t.is(read.serial, serialOf(renewed!));

  // An authority whose key is kept elsewhere is not replaced by another one.
  rmSync(join(dir, 'ca.key'));
  const keyless = await vexcoord(['cert', 'create', '--dir', dir, '--name', 'b', '--role', 'node', '--cluster-id', 'test']);
  t.regex(keyless.stderr, /^NOT_FOUND: there is no .*ca\.key/);
  for (const args of [['rotate', '--dir', dir, '--name', 'nobody'], ['inspect', join(dir, 'nothing')]]) t.regex((await vexcoord(['cert', ...args])).stderr, /^NOT_FOUND: /);
  t.regex((await vexcoord(['cert', 'inspect', paths.key])).stderr, /^CERTIFICATE_INVALID: /);
  t.is((await vexcoord(['cert', 'create', '--dir', dir, '--name', 'ca', '--role', 'node'])).status, 2);
  t.is((await vexcoord(['cert', 'create', '--dir', dir, '--name', 'x', '--role', 'king'])).status, 2);
});

test('cert issues nothing that its cluster would not believe', async (t) => {
  const dir = room(t);
  const create = (name: string, clusterId: string) => new CertificateDirectory(dir).create({ clusterId, role: 'node', name }, [], 1);
  const { ca } = await create('a', 'test');
  const other = await vexcoord(['cert', 'create', '--dir', dir, '--name', 'b', '--role', 'node', '--cluster-id', 'other']);
  t.is(other.status, 2);
  t.regex(other.stderr, /^USAGE: .*ca\.crt is the authority of cluster "test"; give --cluster-id test, or another --dir for cluster "other"/);
  // What is taken where none is given is another one too.
  t.is((await vexcoord(['cert', 'create', '--dir', dir, '--name', 'b', '--role', 'node'])).status, 2);
  t.deepEqual(readdirSync(dir).sort(), ['a.crt', 'a.key', 'ca.crt', 'ca.key']);
  const day = (days: number): Date => new Date(Date.now() + days * DAY_MS);
  const key = join(dir, 'ca.key');
  const replace = (made: { cert: string; key: string }): void => {
    writeFileSync(ca, made.cert);
    writeFileSync(key, made.key);
  };
  replace(await newAuthority('test', day(-2), day(-1)));
  t.regex((await t.throwsAsync(create('b', 'test'))).message, /^the authority in .*ca\.crt expired at 20/);
  t.like(await t.throwsAsync(new CertificateDirectory(dir).rotate('a', 1)), { code: 'CERTIFICATE_INVALID' });
  replace({ ...(await newAuthority('test', day(-1), day(1))), key: (await newAuthority('test', day(-1), day(1))).key });
  t.regex((await t.throwsAsync(create('b', 'test'))).message, /ca\.key is not the key of the authority in .*ca\.crt$/);
});

test('a certificate is revoked on a line of its own, whatever the list ends with', async (t) => {
  const dir = room(t);
  const directory = new CertificateDirectory(dir);
  const a = await directory.create({ clusterId: 'test', role: 'node', name: 'a' }, [], 1);
  // With what follows it would be a serial number of forty digits.
  writeFileSync(directory.revoked, '# by hand\nabcdef01');
  const { serial } = await directory.revoke('a');
  t.deepEqual((await readCredentials({ ...a, revoked: directory.revoked }, { clusterId: 'test', name: 'a' }, Date.now())).revoked, ['abcdef01', serial]);
  t.is(readFileSync(directory.revoked, 'utf8').split('\n')[0], '# by hand');
});

test('another implementation takes the certificates, each for what it is for', async (t) => {
  const dir = room(t);
  const directory = new CertificateDirectory(dir);
  const node = await directory.create({ clusterId: 'test', role: 'node', name: 'a' }, ['::1'], 1);
  const reader = await directory.create({ clusterId: 'test', role: 'reader', name: 'r' }, [], 1);
  const verify = (purpose: string, file: string): string => {
    try {
      return execFileSync('openssl', ['verify', '-x509_strict', '-CAfile', node.ca, '-purpose', purpose, file], { encoding: 'utf8', stdio: 'pipe' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw error;
      return (error as { stderr: string }).stderr;
    }
  };
  try {
    execFileSync('openssl', ['version']);
  } catch {
    t.log('skipped: openssl is not installed');
    t.pass();
    return;
  }
  for (const purpose of ['sslclient', 'sslserver']) t.regex(verify(purpose, node.cert), /: OK/);
  t.regex(verify('sslclient', reader.cert), /: OK/);
  t.regex(openssl(t, dir, 'x509', '-in', node.ca, '-noout', '-ext', 'basicConstraints') ?? '', /critical\s+CA:TRUE, pathlen:0/);
  t.regex(openssl(t, dir, 'x509', '-in', node.cert, '-noout', '-ext', 'basicConstraints') ?? '', /critical\s+CA:FALSE/);
  t.regex(verify('sslserver', reader.cert), /unsuitable certificate purpose/);
});

test('files that others would not believe are refused, with a sentence that names the file', async (t) => {
  const dir = room(t);
  const directory = new CertificateDirectory(dir);
  const a = await directory.create({ clusterId: 'test', role: 'node', name: 'a' }, [], 1);
  const b = await directory.create({ clusterId: 'test', role: 'node', name: 'b' }, [], 1);
  const tool = await directory.create({ clusterId: 'test', role: 'operator', name: 'a2' }, [], 1);
  const elsewhere = join(dir, 'elsewhere');
  mkdirSync(elsewhere);
  const stranger = await new CertificateDirectory(elsewhere).create({ clusterId: 'test', role: 'node', name: 'a' }, [], 1);
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };
  const nowMs = Date.now();
  const authority = { cert: readFileSync(a.ca, 'utf8'), key: readFileSync(join(dir, 'ca.key'), 'utf8') };
  const holder = { clusterId: 'test', role: 'node', name: 'a' } as const;
  const expired = await issue(authority, { holder, hosts: [], notBefore: new Date(nowMs - 2 * HOUR_MS), notAfter: new Date(nowMs - HOUR_MS) });
  const early = await issue(authority, { holder, hosts: [], notBefore: new Date(nowMs + HOUR_MS), notAfter: new Date(nowMs + 2 * HOUR_MS) });
  const whose = { clusterId: 'test', name: 'a' };
  const why = async (paths: Partial<CredentialPaths>, who = whose): Promise<string> => {
    const error = await t.throwsAsync(readCredentials({ ...a, ...paths }, who, nowMs));
    t.is((error as { code?: string }).code, 'CONFIG_INVALID');
    return error!.message;
  };
  t.is(await codeOf(readCredentials(a, whose, nowMs)), 'none');
  t.regex(await why({ key: b.key }), /^security\.tls\.key: .*b\.key is not the key of the certificate in .*a\.crt/);
  t.regex(await why({ cert: stranger.cert, key: stranger.key }), /was not issued by an authority in .*ca\.crt/);
  t.regex(await why({ cert: file('old.crt', expired.cert), key: file('old.key', expired.key) }), /old\.crt expired at 20/);
  t.regex(await why({ cert: file('new.crt', early.cert), key: file('new.key', early.key) }), /is good only from 20/);
  t.regex(await why({ cert: b.cert, key: b.key }), /is that of node "b" of cluster "test"; this is node "a" of cluster "test"/);
  t.regex(await why({ cert: tool.cert, key: tool.key }), /is that of operator "a2"/);
  t.regex(await why({}, { clusterId: 'other', name: 'a' }), /this is node "a" of cluster "other"/);
  t.regex(await why({ ca: join(dir, 'nowhere') }), /^security\.tls\.ca: .*nowhere cannot be read: ENOENT/);
  t.regex(await why({ ca: file('empty', '') }), /has no certificate in PEM/);
  t.regex(await why({ cert: file('torn', readFileSync(a.cert, 'utf8').slice(0, 200)) }), /torn has no certificate in PEM/);
  t.regex(await why({ ca: file('huge', 'x'.repeat(1024 * 1024 + 1)) }), /huge has 1048577 bytes; at most 1048576 are read/);
  t.regex(await why({ key: file('no.key', 'hello') }), /no\.key has no private key that can be read/);
  t.regex(await why({ revoked: file('list', 'AB:CD # fine\n\nwho?\n') }), /list has no serial number in line 3: "who\?"/);
  t.deepEqual((await readCredentials({ ...a, revoked: file('list2', '# none\n00:AB:cd\r\n') }, whose, nowMs)).revoked, ['abcd']);

  // A certificate that another one between it and the authority has issued, as other authorities do.
  const between = await newAuthority('test', new Date(nowMs - HOUR_MS), new Date(nowMs + HOUR_MS));
  const past = await newAuthority('test', new Date(nowMs - 2 * HOUR_MS), new Date(nowMs - HOUR_MS));
  t.regex(await why({ ca: file('past', past.cert) }), /^security\.tls\.ca: .*past expired at 20/);
  const leaf = await issue(between, { holder, hosts: [], notBefore: new Date(nowMs - HOUR_MS), notAfter: new Date(nowMs + HOUR_MS) });
  const bundle = file('bundle', authority.cert + between.cert);
  t.is(await codeOf(readCredentials({ ca: bundle, cert: file('leaf.crt', leaf.cert), key: file('leaf.key', leaf.key) }, whose, nowMs)), 'none');

  if (process.getuid?.() !== 0) {
    copyFileSync(a.key, join(dir, 'closed'));
    chmodSync(join(dir, 'closed'), 0);
    t.regex(await why({ key: join(dir, 'closed') }), /closed cannot be read: EACCES/);
  }
});

test('a certificate of another role, or of nobody, is none of a node, though it is for every purpose and has the name', async (t) => {
  const why = async (name: string): Promise<string> => {
    const dir = room(t);
    if (forEveryPurpose(t, dir, name) === null) return 'skipped';
    return readCredentials({ ca: join(dir, 'ca.crt'), cert: join(dir, 'own.crt'), key: join(dir, 'own.key') }, { clusterId: 'test', name: 'a' }, Date.now()).then(
      () => 'taken',
      (error) => `${error.code} ${error.message}`,
    );
  };
  if ((await why('vexfs://test/node/a')) === 'skipped') return;
  t.is(await why('vexfs://test/node/a'), 'taken');
  t.regex(await why('vexfs://test/operator/a'), /^CONFIG_INVALID security\.tls\.cert: .* is that of operator "a" of cluster "test"; this is node "a" of cluster "test"$/);
  t.regex(await why('https://mesh/a'), /^CONFIG_INVALID security\.tls\.cert: .* does not say whose it is; this is node "a" of cluster "test"$/);
});

test('a serial number is taken into the list as it is shown, however short, and whatever ends the lines', async (t) => {
  const dir = room(t);
  const a = await new CertificateDirectory(dir).create({ clusterId: 'test', role: 'node', name: 'a' }, [], 1);
  const listed = async (text: string): Promise<readonly string[]> => {
    writeFileSync(join(dir, 'list'), text);
    return (await readCredentials({ ...a, revoked: join(dir, 'list') }, { clusterId: 'test', name: 'a' }, Date.now())).revoked;
  };
  // Other authorities count from 1, and some have issued negative ones.
  t.deepEqual(await listed('1 # one\n-05\n0a\n'), ['1', '-5', 'a']);
  t.deepEqual(await listed('ab # one\rcd # two\r'), ['ab', 'cd']);
  for (const damaged of ['\0\0\0\0', 'abcd\0', 'ab cd', '-', 'f'.repeat(41), '-----BEGIN X509 CRL-----']) t.is(await codeOf(listed(damaged)), 'CONFIG_INVALID', JSON.stringify(damaged));
});

test('no name in a certificate passes for another one, or for two', (t) => {
  const dir = room(t);
  if (openssl(t, dir, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'key', '-out', 'ca', '-subj', '/CN=x') === null) return;
  const holder = (name: string, ...names: string[]) => {
    writeFileSync(join(dir, 'names'), `subjectAltName=@names\n[names]\n${names.join('\n')}\n[dn]\nCN=x\\, URI:vexfs://test/node/b\\, y\n`);
    openssl(t, dir, 'req', '-new', '-key', 'key', '-out', 'request', '-subj', `/CN=${name}`);
    openssl(t, dir, 'x509', '-req', '-in', 'request', '-CA', 'ca', '-CAkey', 'key', '-set_serial', '1', '-extfile', 'names', '-out', 'cert');
    return holderOf(certificatesOf(readFileSync(join(dir, 'cert'), 'utf8'))[0]!);
  };
  const hidden = 'x\\, URI:vexfs://test/node/b\\, y';
  t.deepEqual(holder('plain', 'URI.1=vexfs://test/node/b'), { clusterId: 'test', role: 'node', name: 'b' });
  t.deepEqual(holder('beside', 'DNS.1=b.example', 'URI.1=https://mesh/b', 'URI.2=vexfs://test/node/b'), { clusterId: 'test', role: 'node', name: 'b' });
  for (const names of [
    [`DNS.1=${hidden}`],
    [`URI.1=https://x/${hidden}`],
    [`email.1=a@${hidden}`],
    ['dirName.1=dn'],
    [`otherName.1=1.3.6.1.4.1.311.20.2.3;UTF8:${hidden}`],
    ['URI.1=vexfs://test/node/a', 'URI.2=vexfs://test/node/b'],
    ['URI.1=vexfs://test/node/*'],
    ['URI.1=vexfs://test/node/b\u00e9'],
    ['DNS.1=vexfs://test/node/b'],
  ]) t.is(holder('wrong', ...names), null, names.join());
  t.is(holder('/CN=vexfs:\\/\\/test\\/node\\/b', 'DNS.1=x'), null);
});

test('what TLS would refuse in either role, at any link of the chain, is not taken up', async (t) => {
  const dir = room(t);
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  if (openssl(t, dir, 'req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=ca') === null) return;
  const name = 'subjectAltName=URI:vexfs://test/node/a';
  const make = (file: string, by: string, extensions: string): void => {
    writeFileSync(join(dir, 'extensions'), extensions);
    openssl(t, dir, 'req', ...newKey, '-keyout', `${file}.key`, '-out', 'request', '-subj', `/CN=${file}`);
    openssl(t, dir, 'x509', '-req', '-in', 'request', '-CA', `${by}.crt`, '-CAkey', `${by}.key`, '-CAcreateserial', '-extfile', 'extensions', '-out', `${file}.crt`);
  };
  const read = async (cert: string, ca = 'ca.crt', key = cert): Promise<string> => {
    const paths = { ca: join(dir, ca), cert: join(dir, `${cert}.crt`), key: join(dir, `${key}.key`) };
    return readCredentials(paths, { clusterId: 'test', name: 'a' }, Date.now()).then(
      () => 'taken',
      (error: Error) => error.message,
    );
  };
  const join2 = (to: string, ...files: string[]): void => writeFileSync(join(dir, to), files.map((file) => readFileSync(join(dir, file), 'utf8')).join(''));
  make('both', 'ca', `${name}\nextendedKeyUsage=clientAuth,serverAuth`);
  make('dials', 'ca', `${name}\nextendedKeyUsage=clientAuth`);
  make('answers', 'ca', `${name}\nextendedKeyUsage=serverAuth`);
  make('between', 'ca', 'basicConstraints=critical,CA:TRUE');
  make('under', 'between', name);
  make('holder', 'ca', 'basicConstraints=CA:FALSE');
  make('underHolder', 'holder', name);
  join2('chain.crt', 'under.crt', 'between.crt');
  join2('holderChain.crt', 'underHolder.crt', 'holder.crt');
  t.is(await read('both'), 'taken');
  t.is(await read('chain', 'ca.crt', 'under'), 'taken');
  t.regex(await read('dials'), /dials\.crt was issued for another purpose/);
  t.regex(await read('answers'), /answers\.crt was issued for another purpose/);
  // One that is no authority has issued it.
  t.regex(await read('holderChain', 'ca.crt', 'underHolder'), /holderChain\.crt was issued for another purpose/);
  t.regex(await read('under'), /was not issued by an authority in .*ca\.crt \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)/);
  // An authority between is none without the one above it.
  t.regex(await read('under', 'between.crt'), /was not issued by an authority in .*between\.crt \(UNABLE_TO_GET_ISSUER_CERT\)/);
});

test('files that are refused are read again, and whoever is told of it is told once', async (t) => {
  const dir = room(t);
  const directory = new CertificateDirectory(dir);
  const tls = await directory.create({ clusterId: 'test', role: 'node', name: 'a' }, [], 30);
  let slowMs = 0;
  const changes: CertificateChange[] = [];
  const certificates = await Certificates.open({ security: { tls }, clusterId: 'test', nodeId: 'a' } as ResolvedConfig, { nowMs: () => Date.now() - slowMs, onChange: (change) => changes.push(change) });
  t.teardown(() => certificates?.close());
  certificates!.watch();
  // A clock that is behind that of the authority's machine.
  slowMs = HOUR_MS;
  await directory.rotate('a', 30);
  await until('the refusal', () => changes.length > 0);
  t.regex(changes[0]!.sentence, /is good only from/);
  await sleep(3_000);
  t.is(changes.length, 1);
  t.is((await certificates!.reload()).state, 'refused');
  t.is(changes.length, 2, 'who asks is told');
  slowMs = 0;
  await until('the clock to be right', () => changes.length > 2);
  t.is(changes.at(-1)?.state, 'taken');
  t.deepEqual(certificates!.reasons(), []);
});

test('health warns before the certificate or its authority expires, and says when they have', async (t) => {
  const dir = room(t);
  const nowMs = Date.now();
  const day = (days: number): Date => new Date(nowMs + days * DAY_MS);
  const holder = { clusterId: 'test', role: 'node', name: 'a' } as const;
  const [old, next] = [await newAuthority('test', day(-1), day(20)), await newAuthority('test', day(-1), day(300))];
  const reasons = async (by: typeof old, ca: string, certDays: number, inDays: number): Promise<string[]> => {
    const { cert, key } = await issue(by, { holder, hosts: [], notBefore: day(-1), notAfter: day(certDays) });
    for (const [name, text] of [['ca', ca], ['cert', cert], ['key', key]] as const) writeFileSync(join(dir, name), text);
    let atMs = nowMs;
    const tls = { ca: join(dir, 'ca'), cert: join(dir, 'cert'), key: join(dir, 'key') };
    const certificates = await Certificates.open({ security: { tls }, clusterId: 'test', nodeId: 'a' } as ResolvedConfig, { nowMs: () => atMs, onChange: () => {} });
    atMs += inDays * DAY_MS;
    return certificates!.reasons();
  };
  const both = old.cert + next.cert;
  t.deepEqual(await reasons(old, old.cert, 15, 7), []);
  t.regex((await reasons(old, old.cert, 15, 9)).join(), /^the certificate of this node expires at [^,]+$/);
  t.regex((await reasons(old, old.cert, 100, 14)).join(), /^the authority of its certificate expires at [^,]+$/);
  t.regex((await reasons(old, old.cert, 100, 21)).join(), /^the authority of its certificate expired at [^,]+: no new connection is made with it$/);
  // Another one beside it does not help a certificate of the old one.
  t.is((await reasons(old, both, 100, 14)).length, 1);
  t.deepEqual(await reasons(next, both, 100, 14), []);
});
