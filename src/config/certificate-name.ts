import { isNodeId } from './schema.js';

/** What the holder of a certificate may be to a cluster. Only a `node` speaks to its members. */
export const CERTIFICATE_ROLES = ['node', 'reader', 'publisher', 'operator'] as const;
export type CertificateRole = (typeof CERTIFICATE_ROLES)[number];

/** Whom a certificate is for. It stands in it as one URI name, `vexfs://CLUSTER/ROLE/NAME` (docs/formats.md, "Certificates"). */
export interface Holder {
  readonly clusterId: string;
  readonly role: CertificateRole;
  /** Of a node, its node id. */
  readonly name: string;
}

const SCHEME = 'vexfs://';

export function holderUri({ clusterId, role, name }: Holder): string {
  return `${SCHEME}${clusterId}/${role}/${name}`;
}

/** Null for what is no such URI. Names have no characters that a URI would escape, and are compared as they are. */
export function parseHolder(uri: string): Holder | null {
  if (!uri.startsWith(SCHEME)) return null;
  const [clusterId = '', said = '', name = '', ...more] = uri.slice(SCHEME.length).split('/');
  const role = CERTIFICATE_ROLES.find((one) => one === said);
  return role !== undefined && more.length === 0 && isNodeId(clusterId) && isNodeId(name) ? { clusterId, role, name } : null;
}

export function describeHolder({ clusterId, role, name }: Holder): string {
  return `${role} ${JSON.stringify(name)} of cluster ${JSON.stringify(clusterId)}`;
}
