export { type Commit, LocalObject } from './object.js';
export { LocalObjects, type ObjectPorts } from './objects.js';
