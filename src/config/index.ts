export { type Address, canonicalAddress, formatAddress, type HostPort, isDialable, isLocal, isLoopback, type MemoryName, parseAddress, peerAddressOf, SOCKET_FORM, SOCKET_NAME_BYTES_MIN, type SocketPath } from './address.js';
export { CERTIFICATE_ROLES, type CertificateRole, describeHolder, type Holder, holderUri, parseHolder } from './certificate-name.js';
export { type ConfigDescription, describeConfig } from './describe.js';
export { type ConfigSources, type LoadedConfig, loadConfig, resolveConfig } from './load.js';
export { type CoordinatorConfig, isNodeId, type ResolvedConfig } from './schema.js';
export { parseToken, type TokenName, TOKEN_ROLES, type TokenRole, tokenText } from './token-name.js';
export type { Flags, Origin, Problem } from './sources.js';
