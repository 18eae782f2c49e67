export { type Ports, realPorts } from './ports.js';
export { packageVersion } from './version.js';
