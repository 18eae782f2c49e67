export * from './coordinator.js';
export * from './event.js';
export * from './levels.js';
export * from './limits.js';
