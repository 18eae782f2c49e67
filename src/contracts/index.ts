export * from './coordinator.js';
export * from './crdt.js';
export * from './event.js';
export * from './levels.js';
export * from './limits.js';
export * from './logscan.js';
export * from './node.js';
export * from './offline.js';
