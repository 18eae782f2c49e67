export { onAbort } from './on-abort.js';
export { type Ports, realPorts } from './ports.js';
export { packageVersion } from './version.js';
