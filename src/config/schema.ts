import { z } from 'zod';
import { LIMITS } from '../contracts/index.js';
import { type Address, isDialable, parseAddress, SOCKET_FORM } from './address.js';
import { leaf } from './leaf.js';
import { LEVELS_ALLOWED, levelRule, PROTOCOLS_ALLOWED, protocol } from './level-schema.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const LEVEL_RULES_MAX = 256;
const later = { unused: true } as const;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const NAME_ALLOWED = '1 to 64 of the characters A-Z a-z 0-9 . _ -, beginning with a letter or digit';
const name = z.string().regex(NAME);

export const isNodeId = (text: string): boolean => NAME.test(text);

const path = z.string().min(1).refine((text) => !text.includes('\0'));
const addressOf = (takes: (address: Address) => boolean) =>
  z.string().refine((text) => {
    const address = parseAddress(text);
    return address !== null && takes(address);
  });
const HOST_ALLOWED = 'HOST:PORT with a port from 0 (any free one) to 65535, an IPv6 host in brackets';

const between = (min: number, max: number) => z.int().min(min).max(max);
const integer = (min: number, max: number, value: number, summary: string, more = {}) =>
  leaf(between(min, max).default(value), 'number', `a whole number from ${min} to ${max}`, summary, more);
const flag = (value: boolean, summary: string, more = {}) =>
  leaf(z.boolean().default(value), 'boolean', 'true or false', summary, more);
const choice = <const T extends readonly [string, ...string[]]>(values: T, value: T[number], summary: string, more = {}) =>
  leaf(z.enum(values).default(value as never), 'text', values.length === 1 ? `${values[0]}, the only one so far` : values.join(', '), summary, more);
const anyObject = (summary: string) =>
  leaf(z.record(z.string(), z.unknown()).default({}), 'json', 'an object', summary, later);
const section = <T extends z.ZodRawShape>(shape: T) => z.strictObject(shape).prefault({} as never);

/** Every configuration name with its range and default. The text forms, flags and the document are derived from it. */
export const configSchema = z.strictObject({
  nodeId: leaf(name, 'text', NAME_ALLOWED, 'Name of this member, unique in the cluster and kept for the life of its data directory.'),
  clusterId: leaf(name.default('vexfs'), 'text', NAME_ALLOWED, 'Name of the cluster; members of another one are refused.'),
  dataDir: leaf(path, 'text', 'a path', 'Directory of the log and of what else this member keeps; made when it does not exist.'),
  listen: leaf(addressOf(() => true).default('127.0.0.1:7400'), 'text', `${HOST_ALLOWED}; ${SOCKET_FORM}; or memory:NAME`, 'Address where peers connect: of the network, a socket of this machine, or a name within this process.'),
  api: leaf(z.union([addressOf((address) => !('memory' in address)), z.literal(false)]).default('127.0.0.1:7401'), 'addressOrFalse', `${HOST_ALLOWED}; ${SOCKET_FORM}; or false for none`, 'Address of the gRPC API.'),
  admin: leaf(z.union([addressOf((address) => 'host' in address), z.literal(false)]).default('127.0.0.1:7402'), 'addressOrFalse', `${HOST_ALLOWED}, or false for none`, 'Address of the admin port.', later),
  peers: leaf(
    z.record(name, addressOf(isDialable)).default({}),
    'pairs',
    `ID=HOST:PORT for each other member, with a port from 1 to 65535; ID=${SOCKET_FORM}; or ID=memory:NAME`,
    'The other members of the cluster at its first start, and where to dial them.',
    { flag: '--peer' },
  ),
  join: flag(false, 'A new data directory waits to be added to a cluster that exists (`member add`) instead of founding one.'),
  groups: integer(1, LIMITS.groupsMax, 1, 'Ordered groups of the cluster, numbered from 0; the same on all members. Raised, on all of them, only while they are the members that the cluster was founded with, and once each has run and caught up with the others; never lowered.'),
  raft: section({
    electionTimeoutMs: leaf(
      z.tuple([between(10, 60_000), between(10, 60_000)]).default([150, 300]),
      'numbers',
      'two whole numbers from 10 to 60000, the smaller first',
      'A follower that hears nothing from a leader for a random time between the two stands for election.',
    ),
    heartbeatIntervalMs: integer(1, 10_000, 50, 'How often a leader shows its followers that it is there.'),
    appendEntriesMax: integer(1, 10_000, 100, 'Messages with entries in flight to one follower.'),
    compactionThresholdEntries: integer(1, 1_000_000_000, 1000, 'Entries kept behind a snapshot for members that are a little behind, whatever the retention says.'),
    snapshotThresholdEntries: integer(1, 1_000_000_000, 10_000, 'Applied entries after which a snapshot is due, if they are as many bytes as the last one was. Fewer are enough once they are 64 MiB and twice as many bytes as the last one.'),
    readLease: flag(false, 'After a majority has answered it, a leader answers barriers by itself for three quarters of the least raft.electionTimeoutMs. Safe while clocks run at about the same speed; the same on all members.'),
    byzantineFaultTolerance: flag(false, 'Agree on critical events among validators.', later),
  }),
  performance: section({
    targetConsensusLatencyMs: integer(1, 60_000, 10, 'Commit latency the adaptive tuning aims for.', later),
    targetConsistencyPercentage: leaf(z.number().min(0).max(100).default(99), 'number', 'a number from 0 to 100', 'Share of events that should reach the level they asked for.', later),
    eventsPerSecondMax: integer(0, 100_000_000, 10_000, 'Events admitted per second; 0 for no such limit.', later),
    batchProcessing: flag(true, 'Pack publishes that wait together into one entry.', later),
    adaptiveOptimization: flag(true, 'Tune batching and routing by what is measured.', later),
  }),
  network: section({
    profile: choice(
      ['lan', 'wan'],
      'lan',
      'Kind of links between the members. With wan the election timeouts follow the measured round trips to the other voters, from raft.electionTimeoutMs up.',
    ),
    codec: choice(['packed'], 'packed', 'Encoding of messages between members.', later),
    compression: choice(
      ['none', 'lz4', 'zstd', 'snappy', 'auto'],
      'auto',
      'Compression of what this node sends to other members: one for all, or, with auto, what makes it arrive first on each link, which is none while a link takes everything at once.',
    ),
    pool: section({ connectionsPerPeer: integer(2, 2, 2, 'Connections to each peer: one urgent, one bulk.', later) }),
    batching: flag(true, 'Write the frames of one turn of the loop together.', later),
  }),
  security: section({
    insecure: flag(false, 'Allow addresses outside loopback without TLS: everyone who reaches them can read and write. Where there is TLS it changes nothing.'),
    tls: leaf(
      z.strictObject({ ca: path, cert: path, key: path, revoked: path.optional() }).nullable().default(null),
      'json',
      'an object of the paths ca, cert, key and, if there is one, revoked; or null',
      'Files (PEM) that this node proves itself with, and by which it believes others: those whose certificates an authority in ca has issued and that are not on the list revoked. New contents are taken up while it runs. As flags also --tls-ca, --tls-cert, --tls-key and --tls-revoked.',
    ),
    allowedPeers: leaf(z.array(name).max(LIMITS.membersMax).default([]), 'list', 'a list of node ids', 'Members that this node connects with; empty for all of the cluster. Needs security.tls, by which they prove who they are.'),
    api: leaf(
      z.strictObject({ tokens: path.optional() }).default({}),
      'json',
      'an object of the path tokens, if there is one',
      'File of the tokens (`vexcoord token`) that callers of the API may show in the place of a certificate; where there is no TLS, every call takes one then. New contents are taken up while it runs. As a flag also --api-tokens.',
    ),
  }),
  protocols: leaf(z.record(name, protocol).default({}), 'json', PROTOCOLS_ALLOWED, 'Named protocols, for `protocol` of a publish and of `levels`.'),
  levels: leaf(
    z.array(levelRule).max(LEVEL_RULES_MAX).default([]),
    'json',
    LEVELS_ALLOWED,
    'Which level an event gets that names none, what adaptive may choose, and what becomes of an event while there is no quorum. Of the rules that match an event the first one decides.',
  ),
  routing: anyObject('Routes.'),
  conflicts: anyObject('Conflict policy.'),
  retention: section({
    events: integer(0, Number.MAX_SAFE_INTEGER, 0, 'Events that the journal of a group keeps behind its newest snapshot, and the log of an origin in the causal lane; 0 for no such limit.'),
    bytes: integer(0, Number.MAX_SAFE_INTEGER, 0, 'Bytes of entries that the journal of a group keeps behind its newest snapshot, and the log of an origin in the causal lane; 0 for no such limit.'),
    ageMs: integer(0, Number.MAX_SAFE_INTEGER, 0, 'Age of the oldest entries that the journal of a group keeps behind its newest snapshot, and the log of an origin in the causal lane; 0 for no such limit. There it goes by the hybrid clock of the lane, so that a lane in which nothing happens lets nothing go until the next event. What a member lacks stays however old it is.'),
  }),
  causal: section({
    gossipIntervalMs: integer(10, 60_000, 200, 'How often a member tells the others which events of the causal lane have come to its disk, where that has changed; one that is farther away, behind what is queued for it, once in a round trip.'),
    deliveryTimeoutMs: integer(10, 3_600_000, 100, 'How long a missing event of the causal lane has to come by itself before it is asked for.'),
    bufferEvents: integer(1, 1_000_000, 1000, 'Entries of one origin that wait in memory for what happened before them; the others are read from disk when their turn comes.'),
  }),
  validators: anyObject('Validators of critical events.'),
  dedup: section({
    windowEvents: integer(1000, 100_000_000, 1_000_000, 'Events of the group over which an id without a session is recognised as seen; the same on all members, and kept in the data directory from its first start on.'),
  }),
  limits: section({
    pendingBytesMax: integer(64 * KIB, 4096 * MIB, 64 * MIB, 'Bytes of publishes waiting for their receipts; beyond, publishes wait for room, and too many of them get BACKPRESSURE.'),
    groupSharePercentage: integer(1, 100, 50, 'Of pendingBytesMax and of the publishes that wait for room: what one group may take where there are several, so that a busy one leaves room for the others; beyond, GROUP_QUOTA.'),
    subscriptionBytesMax: integer(64 * KIB, 1024 * MIB, 16 * MIB, 'Bytes that one subscription may read ahead of its consumer.'),
    peerBytesMax: integer(64 * KIB, 4096 * MIB, 64 * MIB, 'Bytes waiting to be sent to one peer.'),
    apiConnectionsMax: integer(1, 100_000, 1024, 'Connections to the API at once; beyond, CONNECTIONS_MAX.'),
    apiCallerConnectionsMax: integer(1, 100_000, 128, 'Of these, connections of one caller, by the name in its certificate or its token; beyond, CONNECTIONS_MAX.'),
  }),
  log: section({
    segmentBytes: leaf(
      between(64 * KIB, 1024 * MIB).multipleOf(4096).default(64 * MIB),
      'number',
      `a multiple of 4096 from ${64 * KIB} to ${1024 * MIB}`,
      'Size of one file of the log.',
    ),
    spareSegments: integer(0, 64, 2, 'Pre-zeroed files kept ready.'),
    heldBackBytesMax: integer(0, Number.MAX_SAFE_INTEGER, 256 * MIB, 'Bytes that nobody needs any more and that older entries, of a quiet group say, may keep from being given back. Beyond, and beyond as much as is needed, these entries are moved.'),
    reserveBytes: integer(0, 1024 * MIB, 8 * MIB, 'Bytes held back for a full disk, so that it can be reported and room be made.'),
  }),
  eventTypes: leaf(
    z.record(z.string().regex(/^[A-Za-z][A-Za-z0-9_.-]{0,127}$/), between(0x1000, 0xffff)).default({}),
    'numberPairs',
    'NAME=CODE for each, with a code from 4096 (0x1000) to 65535',
    "Names of the application's own event types.",
  ),
  observability: section({
    logLevel: choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], 'info', 'The least severe lines that are logged.'),
  }),
  publishTimeoutMs: integer(1, 3_600_000, 10_000, 'How long a publish waits for its receipt unless it says otherwise.'),
});

/** What `Coordinator.start` takes: every name with a default may be left out. */
export type CoordinatorConfig = z.input<typeof configSchema>;
/** A configuration with every default filled in and every check passed. */
export type ResolvedConfig = z.output<typeof configSchema>;
