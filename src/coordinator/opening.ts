/** From a configuration to what the core is opened with. */
import type { ResolvedConfig } from '../config/index.js';
import type { OpenOptions } from '../native/index.js';
import type { Ports } from '../runtime/index.js';

/** A batch may pass the limit on waiting bytes by its own size; the core's limit leaves room for that. */
const CORE_SLACK_BYTES = 16 * 1024 * 1024;

export function openOptionsOf(config: ResolvedConfig, ports: Ports): OpenOptions {
  const freshDirectoryId = Buffer.alloc(16);
  ports.fillRandom(freshDirectoryId);
  const [electionTimeoutMinMs, electionTimeoutMaxMs] = config.raft.electionTimeoutMs;
  return {
    dataDir: config.dataDir,
    clusterId: config.clusterId,
    nodeId: config.nodeId,
    peers: Object.keys(config.peers),
    electionTimeoutMinMs,
    electionTimeoutMaxMs,
    heartbeatIntervalMs: config.raft.heartbeatIntervalMs,
    followsRoundTrips: config.network.profile === 'wan',
    inflightMessages: config.raft.appendEntriesMax,
    pendingBytesMax: config.limits.pendingBytesMax + CORE_SLACK_BYTES,
    peerBytesMax: config.limits.peerBytesMax,
    compression: config.network.compression,
    windowEvents: config.dedup.windowEvents,
    segmentBytes: config.log.segmentBytes,
    spareSegments: config.log.spareSegments,
    reserveBytes: config.log.reserveBytes,
    heldBackBytesMax: config.log.heldBackBytesMax,
    joins: config.join,
    groups: config.groups,
    readLease: config.raft.readLease,
    snapshotEntries: config.raft.snapshotThresholdEntries,
    keepEntries: config.raft.compactionThresholdEntries,
    retainEvents: config.retention.events,
    retainBytes: config.retention.bytes,
    retainAgeMs: config.retention.ageMs,
    gossipIntervalMs: config.causal.gossipIntervalMs,
    deliveryTimeoutMs: config.causal.deliveryTimeoutMs,
    causalityBuffer: config.causal.bufferEvents,
    seed: ports.randomU64(),
    freshDirectoryId,
  };
}

/** What decides the replicated state must be the same everywhere, or members would part silently. */
export function sharedSettingsOf(config: ResolvedConfig): string {
  return `dedup.windowEvents=${config.dedup.windowEvents} groups=${config.groups} raft.readLease=${config.raft.readLease}`;
}
