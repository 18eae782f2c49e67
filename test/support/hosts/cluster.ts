/** Clusters whose members run on hosts of a lab. */
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { CertificateDirectory } from '../../../dist/cli/cert/directory.js';
import type { CoordinatorConfig } from '../../../dist/index.js';
import { type Host, Plan, room, type Undoing } from '../../helpers/cluster.js';
import { ProcessCluster } from '../../helpers/node-process.js';
import { Lab } from './lab.js';
import { missing } from './tools.js';

const CLUSTER_ID = 'test';
const CERTIFICATE_DAYS = 30;

/** Says why the test is skipped and passes it, where there can be no hosts. */
export function skipped(t: ExecutionContext): boolean {
  const reason = missing();
  if (reason === null) return false;
  t.log(`skipped: ${reason}`);
  t.pass();
  return true;
}

export interface HostSettings {
  readonly ids?: readonly string[];
  /** Mutual TLS between the members, by certificates of `vexcoord cert create`; in plain text otherwise. */
  readonly secure?: boolean;
  readonly more?: Partial<CoordinatorConfig>;
}

/** What is the member's own on each host: its certificate, where there are any. */
export async function hostsOf(lab: Pick<Lab, 'ids' | 'address' | 'within'>, directory: string, secure: boolean): Promise<Map<string, Host>> {
  const certificates = secure ? new CertificateDirectory(join(directory, 'certificates')) : null;
  const hosts = new Map<string, Host>();
  for (const id of lab.ids) {
    const tls = (await certificates?.create({ clusterId: CLUSTER_ID, role: 'node', name: id }, [], CERTIFICATE_DAYS)) ?? null;
    hosts.set(id, { address: lab.address(id), within: lab.within(id), config: { security: tls === null ? { insecure: true } : { tls } } });
  }
  return hosts;
}

export interface OnHosts {
  readonly lab: Lab;
  readonly cluster: ProcessCluster;
}

export async function startOnHosts(t: Undoing, { ids = ['a', 'b', 'c'], secure = false, more = {} }: HostSettings = {}): Promise<OnHosts> {
  const lab = Lab.set(t, ids);
  const directory = room(t);
  const cluster = await ProcessCluster.open(t, Plan.on(directory, await hostsOf(lab, directory, secure), more));
  return { lab, cluster };
}
