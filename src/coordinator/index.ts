export type { CertificateChange, Certificates } from './certificates.js';
export { Coordinator } from './coordinator.js';
export { CrdtReplica, type CrdtReplicaOptions } from './crdt-replica.js';
export { LevelRules } from './level-rules.js';
