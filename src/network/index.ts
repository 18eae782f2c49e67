export { COUNTERS, type CounterName, type NetworkStats } from './counters.js';
export type { NetworkEvent, Refused } from './events.js';
export type { Neighbour } from './hello.js';
export { PeerNetwork, type PeerNetworkOptions } from './host.js';
export { DEFAULT_TIMING, type Identity, type NetworkMember, type NetworkMembers, type NetworkOptions, type NetworkTable, type PeerAddress, type ProtocolRange, type Timing } from './options.js';
export { type Channel, CHANNELS, type PeerCore, type PeerCoreModule } from './port.js';
export type { Address } from './transport.js';
export { REFUSALS, type RefusalCode } from './verdict.js';
export { type Probed, probePeer } from './probe.js';
