export type { CertificateChange, Certificates } from './certificates.js';
export type { FilesChange } from './kept-files.js';
export type { Tokens } from './tokens.js';
export { Coordinator } from './coordinator.js';
export { CrdtReplica, type CrdtReplicaOptions } from './crdt-replica.js';
export { LevelRules } from './level-rules.js';
