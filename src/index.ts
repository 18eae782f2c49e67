/** `@vexfs/coordinator`: many instances of a filesystem agree on events, with a guarantee chosen per event. */
export { ApiClient, ApiServer } from './api/index.js';
export type { CoordinatorConfig, ResolvedConfig } from './config/index.js';
export * from './contracts/index.js';
export { type CertificateChange, Coordinator, CrdtReplica, type CrdtReplicaOptions, type FilesChange } from './coordinator/index.js';
export { CoordinatorError, ERROR_CODES, type ErrorCode } from './errors/index.js';
