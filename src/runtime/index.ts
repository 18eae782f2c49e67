export { type Ports, realPorts } from './ports.js';
