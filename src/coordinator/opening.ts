/** From a configuration to what the core is opened with. */
import type { ResolvedConfig } from '../config/index.js';
import { CoordinatorError } from '../errors/index.js';
import { Core, type OpenOptions, restoredGroupsOf } from '../native/index.js';
import type { Ports } from '../runtime/index.js';

/** A batch may pass the limit on waiting bytes by its own size; the core's limit leaves room for that. */
const CORE_SLACK_BYTES = 16 * 1024 * 1024;

export async function openCore(config: ResolvedConfig, ports: Ports): Promise<Core> {
  try {
    return await Core.open(openOptionsOf(config, ports));
  } catch (thrown) {
    const restored = await restoredGroupsOf(config.dataDir).catch(() => null);
    const error = CoordinatorError.from(thrown);
    if (error.code !== 'CONFIG_INVALID' || restored === null || restored >= config.groups) throw error;
    const given = restored === 1 ? 'a snapshot of group 0 alone' : `snapshots of the groups 0 to ${restored - 1} alone`;
    const advice = `if the cluster had more, no event of the others is here, and setting groups to ${restored} gives them up: restore again instead, into a new directory, with a snapshot of each group`;
    throw new CoordinatorError(error.code, `${error.message}; but ${config.dataDir} was restored from ${given}: ${advice}`, { cause: error });
  }
}

function openOptionsOf(config: ResolvedConfig, ports: Ports): OpenOptions {
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
