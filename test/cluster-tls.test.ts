/** Members whose peers speak TLS, with certificates in files as an operator has them. */
import { spawn } from 'node:child_process';
import { appendFileSync, chmodSync, copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { CertificateDirectory, type Paths } from '../dist/cli/cert/directory.js';
import { issue } from '../dist/cli/cert/x509.js';
import { type CertificateChange, Coordinator, type CoordinatorConfig } from '../dist/index.js';
import { certificatesOf, serialOf } from '../dist/network/certificate.js';
import { COMMAND, vexcoord } from './cli-run.js';
import { checkJournals, codeOf, Embedded, fileWrite, journalOf, Plan, room, startWhenFree, until, writes } from './helpers/cluster.js';

const DAY_MS = 86_400_000;

class Secured {
  readonly directory: CertificateDirectory;
  readonly #path: string;
  readonly list: string;

  constructor(t: ExecutionContext) {
    this.#path = room(t);
    this.directory = new CertificateDirectory(this.#path);
    this.list = this.directory.revoked;
    writeFileSync(this.list, '# nobody yet\n');
  }

  /** Makes the node's certificate; the settings that name it. */
  async of(id: string): Promise<NonNullable<CoordinatorConfig['security']>> {
    const paths = await this.directory.create({ clusterId: 'test', role: 'node', name: id }, [], 30);
    return { tls: { ...paths, revoked: this.list } };
  }

  paths(id: string): Paths {
    return this.directory.pathsOf(id);
  }

  /** In the place of the node's certificate: one that is good for so long. */
  async replace(id: string, untilMs: number): Promise<void> {
    const { ca, cert, key } = this.paths(id);
    const authority = { cert: readFileSync(ca, 'utf8'), key: readFileSync(join(this.#path, 'ca.key'), 'utf8') };
    const holder = { clusterId: 'test', role: 'node', name: id } as const;
    const made = await issue(authority, { holder, hosts: [], notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + untilMs) });
    writeFileSync(key, made.key);
    writeFileSync(cert, made.cert);
  }

  serialOf(id: string): string {
    return serialOf(certificatesOf(readFileSync(this.paths(id).cert, 'utf8'))[0]!);
  }
}

/** Members in this process, each with a certificate of its own. */
async function start(t: ExecutionContext): Promise<{ secured: Secured; cluster: Embedded; plan: Plan; open(id: string, changes?: Partial<CoordinatorConfig>): Promise<void> }> {
  const secured = new Secured(t);
  const plan = await Plan.of(t);
  const cluster = new Embedded(plan);
  t.teardown(() => cluster.close(...cluster.nodes.keys()));
  const settings = new Map<string, CoordinatorConfig['security']>();
  for (const id of plan.ids) settings.set(id, await secured.of(id));
  const open = (id: string, changes: Partial<CoordinatorConfig> = {}): Promise<void> =>
    startWhenFree(async () => {
      cluster.nodes.set(id, await Coordinator.start({ ...plan.config(id), security: settings.get(id), ...changes }));
    });
  await Promise.all(plan.ids.map((id) => open(id)));
  await cluster.leader();
  return { secured, cluster, plan, open };
}

const changesOf = (node: Coordinator): CertificateChange[] => {
  const changes: CertificateChange[] = [];
  node.on('certificates', (change) => changes.push(change));
  return changes;
};
const downs = (node: Coordinator): bigint | number => node.status().counters['network.dials'] ?? 0;

test('three members over TLS publish, fail over and lose nothing; one that is plain does not get in', async (t) => {
  const { cluster, plan, open } = await start(t);
  const leader = await cluster.leader();
  const before = await leader.publishBatch(writes(50, '/before', 2_000));
  await cluster.close(leader.nodeId);
  const next = await cluster.leader();
  t.not(next.nodeId, leader.nodeId);
  const after = await next.publishBatch(writes(50, '/after'));
  t.is(next.status().counters['network.tlsErrors'], 0);

  const plain = await Coordinator.start({ ...plan.config(leader.nodeId), security: {} });
  await until('the refusals of a plain member', () => Number(next.status().counters['network.certificatesRefused']) > 0);
  await until('the reason in its status', () => plain.status().members.some(({ refused }) => /^CERTIFICATE_REFUSED: one side of the connection has security\.tls/.test(refused ?? '')));
  t.is(plain.status().leader, null);
  await plain.close();

  await open(leader.nodeId);
  await cluster.leader();
  await cluster.equal();
  checkJournals(t, await Promise.all([...cluster.nodes.values()].map(journalOf)), [...before, ...after].map(({ eventId, index, offset }) => ({ eventId, index: index!, offset: offset! })));
});

test('new certificates are taken up without a restart or a lost connection; files that are not good are refused', async (t) => {
  const { secured, cluster } = await start(t);
  const node = cluster.get('a');
  const [changes, others] = [changesOf(node), [...cluster.nodes.values()].filter((one) => one !== node)];
  await until('all links', () => [...cluster.nodes.values()].every((one) => one.status().health.state === 'ok'));
  const dials = [...cluster.nodes.values()].map(downs);
  const publishing = new AbortController();
  const published = (async () => {
    const receipts = [];
    while (!publishing.signal.aborted) receipts.push(await others[0]!.publish(fileWrite(`/rotation/${receipts.length}`)));
    return receipts;
  })();
  const serial = secured.serialOf('a');
  await secured.directory.rotate('a', 30);
  await until('the new certificate', () => changes.length > 0);
  t.is(changes[0]?.state, 'taken');
  t.true(changes[0]?.sentence.includes(secured.serialOf('a')));
  t.not(secured.serialOf('a'), serial);
  t.is(node.certificates?.current.serial, secured.serialOf('a'));

  // A file that another node's certificate was copied over.
  copyFileSync(secured.paths('b').cert, secured.paths('a').cert);
  await until('the refusal', () => changes.some(({ state }) => state === 'refused'));
  const { health } = node.status();
  t.is(health.state, 'degraded');
  t.regex(health.reasons.join(), /certificate files are refused, and those before them go on: security\.tls\.key: .* is not the key of the certificate in/);
  t.is(node.certificates?.current.serial, certificatesOf(node.certificates!.current.cert).map(serialOf)[0]);
  t.is((await node.reloadCertificates())?.state, 'refused');

  await secured.replace('a', DAY_MS);
  await until('the repaired files', () => changes.at(-1)?.state === 'taken');
  t.regex(node.status().health.reasons.join(), /^the certificate of this node expires at 20\d\d-\d\d-\d\dT/);
  t.is((await node.reloadCertificates())?.state, 'same');
  publishing.abort();
  const receipts = await published;
  t.true(receipts.length > 0);
  t.deepEqual([...cluster.nodes.values()].map(downs), dials, 'no connection was dialled anew');
});

test('a member whose certificate is revoked is cut off by the others, and back with a new one', async (t) => {
  const { secured, cluster } = await start(t);
  await until('all links', () => [...cluster.nodes.values()].every((one) => one.status().health.state === 'ok'));
  const [victim] = await cluster.followers();
  const id = victim!.nodeId;
  const rest = [...cluster.nodes.values()].filter((one) => one !== victim);
  appendFileSync(secured.list, `${secured.serialOf(id)} # ${id}\n`);
  await until('its connections to be cut', () => rest.every((one) => one.status().members.some((member) => member.id === id && member.health === 'unreachable' && member.refused?.startsWith('CERTIFICATE_REFUSED'))));
  await until('its own health', () => /of this node was revoked/.test(victim!.status().health.reasons.join()));
  await rest[0]!.publish(fileWrite('/without'));
  await secured.directory.rotate(id, 30);
  await until('its return', () => [...cluster.nodes.values()].every((one) => one.status().health.state === 'ok'));
  await cluster.equal();
  t.pass();
});

test('a start with files that are not good says which, and leaves nothing behind', async (t) => {
  const secured = new Secured(t);
  const security = await secured.of('a');
  const plan = await Plan.of(t, {}, ['b']);
  const error = await t.throwsAsync(Coordinator.start({ ...plan.config('b'), security }));
  t.regex(error!.message, /^security\.tls\.cert: .*a\.crt is that of node "a" of cluster "test"; this is node "b" of cluster "test"$/);
  t.is((error as { code?: string }).code, 'CONFIG_INVALID');
  await secured.of('b');
  rmSync(secured.paths('b').key);
  t.is(await codeOf(Coordinator.start({ ...plan.config('b'), security: { tls: secured.paths('b') } })), 'CONFIG_INVALID');
});

test('vexcoord serve takes the files as flags, and reads them again on SIGHUP', async (t) => {
  const secured = new Secured(t);
  await secured.of('a');
  const { ca, cert, key } = secured.paths('a');
  chmodSync(key, 0o644);
  const plan = await Plan.of(t, {}, ['a']);
  const flags = ['--node-id', 'a', '--cluster-id', 'test', '--data-dir', plan.dataDir('a'), '--listen', plan.address('a'), '--api', 'false', '--tls-ca', ca, '--tls-cert', cert, '--tls-key', key, '--output', 'json'];
  const child = spawn(process.execPath, [COMMAND, 'serve', ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => void child.kill('SIGKILL'));
  const log: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => log.push(line));
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', () => resolve());
    child.once('exit', (status) => reject(new Error(`exit ${status}: ${log.join('\n')}`)));
  });
  await until('the word of a key that all may read', () => log.some((line) => /a\.key is open to everybody on this machine \(mode 644\)/.test(line)));
  child.kill('SIGHUP');
  await until('the answer to SIGHUP', () => log.some((line) => line.includes('the certificate files are as they were')));
  writeFileSync(cert, 'nothing');
  child.kill('SIGHUP');
  await until('the refusal', () => log.some((line) => /a\.crt has no certificate in PEM/.test(line)));
  child.removeAllListeners('exit');
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  t.is(await ended, 0, log.join('\n'));
});

test('recover asks over TLS who is left, believes nobody without a certificate, and goes on where nobody is', async (t) => {
  const { secured, cluster, plan } = await start(t);
  await cluster.close('a');
  const { ca, cert, key } = secured.paths('a');
  const recover = (...more: string[]) =>
    vexcoord(['recover', '--data-dir', plan.dataDir('a'), '--node-id', 'a', '--cluster-id', 'test', '--peer', `b=${plan.address('b')}`, '--peer', `c=${plan.address('c')}`, '--yes', '--i-understand-data-loss', '--output', 'json', ...more]);
  const tls = ['--tls-ca', ca, '--tls-cert', cert, '--tls-key', key];
  const alive = await recover(...tls);
  t.is(alive.status, 1);
  t.regex(alive.stderr, /^QUORUM_EXISTS: 3 of 3 voters are there, a majority: a \(this node\), b at .*, c at /);
  const plain = await recover();
  t.regex(plain.stderr, /^QUORUM_EXISTS: .* may be there, since it is unclear whether b at .* \(a member answers that it does not believe this one: /);
  await cluster.close('b', 'c');
  const gone = await recover(...tls);
  t.is(gone.status, 0, gone.stderr);
  t.deepEqual(JSON.parse(gone.stdout).voters.map(({ state }: { state: string }) => state), ['this node', 'silent', 'silent']);
});
