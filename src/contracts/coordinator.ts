import type { EventInput, OrderedEvent } from './event.js';
import type { Lane, Level } from './levels.js';

/** Whether something that failed has nevertheless been committed (rule R4). */
export type Committed = 'yes' | 'no' | 'unknown';

/** What a publish achieved (rules R1, R2). */
export interface Receipt {
  readonly eventId: string;
  /** The level that was reached; never more than was achieved. */
  readonly level: Level;
  readonly requestedLevel: Level;
  readonly lane: Lane;
  readonly group: number;
  /** Raft index of the entry that holds the event; events of one entry share it and differ in `offset`. */
  readonly index: bigint;
  /** Position of the event within its entry, from 0. */
  readonly offset: number;
  /** Of the entry; 0 of a receipt given again where the journal has let the event go. */
  readonly term: bigint;
  /** Opaque position of the event; `subscribe({ from: cursor })` goes on right after it. */
  readonly cursor: string;
  /** Members known to have the event on disk when the receipt was made. */
  readonly durableMembers: number;
  /** Vector clock of the causal lane; null on the ordered lane. */
  readonly clock: { readonly [actor: string]: string } | null;
  /** Hybrid logical clock, 48 bits of milliseconds and a counter; 0 where `term` is. */
  readonly hlc: bigint;
  readonly degraded: boolean;
  /** What chose the level, or lowered it: `levels.NAME` or `protocols.NAME` of the configuration; null where the publish did itself, or nobody. */
  readonly rule: string | null;
  readonly certificate: string | null;
  /** True when this is the receipt of an earlier attempt at the same event. */
  readonly duplicate: boolean;
  /** Microseconds from when the core took the publish to its receipt, by the monotonic clock of that node. */
  readonly latencyUs: number;
}

export interface PublishOptions {
  /** Default: what the configuration's `levels` say, else `linearizable`. `adaptive`: the weakest level that they allow. */
  readonly consistency?: Level | 'adaptive';
  readonly critical?: boolean;
  /** Name of a configured protocol, whose level and settings hold for what is not said here. */
  readonly protocol?: string;
  /** Ordered group, 0 when absent; order and suppression hold within one (rule R9). */
  readonly group?: number;
  /** Up to `LIMITS.timeoutMsMax`; default: the protocol's, else 10,000. After it the promise rejects with `TIMEOUT` and `committed`. */
  readonly timeoutMs?: number;
  /** Shortens that time, wherever it comes from. */
  readonly timeoutMaxMs?: number;
  readonly signal?: AbortSignal;
  /**
   * A cursor of the causal lane, of a receipt or a delivery: the event follows what it names. Of level causal that is delivered here first; in the
   * ordered lane it is on the disks of a majority before a leader gets the event, and delivered everywhere before it (rule R6).
   */
  readonly after?: string;
  /**
   * Session to publish through; `null` for none (suppression by event id only). Default: the node's own session; with `after` none, so that nobody who
   * shares that session waits for what one of them names. It follows what the node's own session has written all the same, and what comes next there follows it.
   */
  readonly session?: Session | null;
  /** For `strong`: voters that must have applied the event; default a majority. */
  readonly quorumSize?: number | 'all';
  /**
   * An earlier attempt, here or at another node, may have reached a leader: the events are not lowered, whatever the rules say. False: there was
   * none, which a node that has started again cannot know of an id that it is given. Default: what the node knows of its own attempts.
   */
  readonly attempted?: boolean;
  /** Of adaptive: after how many milliseconds at most a majority is to show the event. */
  readonly maxStalenessMs?: number;
}

/** Publishes made through one session are ordered and suppressed as one (rule R3). */
export interface Session {
  readonly id: string;
  /** A cursor of the causal lane: what the session has written there and all that follows from; null while that is nothing. */
  readonly context: string | null;
  publish(event: EventInput, options?: Omit<PublishOptions, 'session'>): Promise<Receipt>;
  publishBatch(events: readonly EventInput[], options?: Omit<PublishOptions, 'session'>): Promise<Receipt[]>;
}

/** What a subscription lets through: every given condition must hold; within one, any of its values. */
export interface Where {
  /** Type names, codes, or categories (`filesystem`, `graph`, …). */
  readonly type?: string | number | readonly (string | number)[];
  /** Globs over `path` or `to`: `*` within a segment, `**` across segments, `?`, `[a-z]`, `{a,b}`. */
  readonly path?: string | readonly string[];
}

export interface SubscribeOptions {
  /**
   * Default `latest`, or where the named consumer stands. `first` is the oldest event kept, `snapshot` the first after the
   * newest snapshot of this node. A named consumer that the journal has left behind goes on here, if it is given.
   */
  readonly from?: 'first' | 'latest' | 'snapshot' | string;
  readonly where?: Where;
  /** Default: the lane of the cursor in `from`, else `ordered`. Events of levels eventual and causal are in the causal one. */
  readonly lane?: 'ordered' | 'causal';
  /** Named consumer: its position is replicated, what it did not acknowledge is delivered again (rule R8). */
  readonly consumer?: string;
  readonly group?: number;
  readonly signal?: AbortSignal;
  /** Bytes read ahead of the consumer at most; default 1 MiB. */
  readonly bufferBytesMax?: number;
}

export interface Delivery {
  readonly cursor: string;
  readonly index: bigint;
  readonly offset: number;
  readonly term: bigint;
  readonly group: number;
  readonly lane: Lane;
  /** Level the event was published at. */
  readonly level: Level;
  /** True when this consumer may have seen the event before. */
  readonly redelivered: boolean;
  /** Grows with every new holder of the consumer's name; null without a named consumer. */
  readonly fencingToken: bigint | null;
  readonly clock: { readonly [actor: string]: string } | null;
  /** False where this node knows of the event and does not hold it (rule R10): it has the head alone, without payload, metadata and context. `read` fetches the rest. */
  readonly held: boolean;
  readonly event: OrderedEvent;
  /** Marks this event and all before it as done, for a named consumer; a no-op otherwise. */
  ack(): Promise<void>;
}

/** The causal lane as a node has it. */
export interface CausalLaneStatus {
  /** Who this node writes as; null while it waits for the others to say whether it may go on as before (rule R7). */
  readonly actor: string | null;
  /** Of each origin the last entry that was delivered here, that is on disk here, and that anybody is known to have. */
  readonly origins: readonly { readonly name: string; readonly delivered: bigint; readonly held: bigint; readonly known: bigint }[];
  /** Publishes without an answer. */
  readonly pending: number;
}

export interface Outcome {
  readonly state: 'committed' | 'absent' | 'unknown';
  readonly receipt?: Receipt;
}

export type Role = 'leader' | 'follower' | 'candidate' | 'learner' | 'removed';

/** How long a message of this node to a member and its answer take, threads and queues of both ends included; microseconds. */
export interface RoundTrip {
  /** On the present connection. */
  readonly answers: number;
  /** Of the last 256 answers. */
  readonly leastUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Smoothed, and how far single ones are from it (RFC 6298, section 2). */
  readonly smoothedUs: number;
  readonly deviationUs: number;
  /** By how much the member's clock is ahead of this node's, in milliseconds, as the quickest of the last 8 answers tells; below 0 it is behind. */
  readonly clockOffsetMs: number;
}

/** A connection of this node to a member: on urgent ones goes what keeps the cluster alive, on bulk ones what may wait. */
export interface LinkStatus {
  readonly channel: 'urgent' | 'bulk';
  readonly up: boolean;
  /** The system takes no more bytes for it before the member has read some. */
  readonly blocked: boolean;
  /** Times it was made since this node's start. */
  readonly connections: number;
  /** Bytes that wait for it. */
  readonly waitingBytes: number;
  /** Since this node's start, without what TLS adds. A batch is what went to the system at once. */
  readonly sentBytes: number;
  readonly sentFrames: number;
  readonly sentBatches: number;
  /** What it did not take: it was down, or too much waited. */
  readonly droppedFrames: number;
  /** Null before the first answer. */
  readonly roundTrip: RoundTrip | null;
  /** For how long the member has not answered the question how long that takes; 0 where none is under way. */
  readonly unansweredUs: number;
}

/** What passes between this node and a member. */
export interface MemberTraffic {
  /** Since this node's start, over all connections of the member. */
  readonly receivedBytes: number;
  readonly receivedFrames: number;
  readonly links: readonly LinkStatus[];
}

export interface MemberStatus {
  readonly id: string;
  readonly address: string | null;
  readonly role: 'voter' | 'learner' | 'removed';
  readonly health: 'ok' | 'suspect' | 'unreachable';
  /** Highest index known to be on the member's disk; null where this node cannot know (it is not the leader). */
  readonly matchIndex: bigint | null;
  /** Why the last connection to it was refused, or null. */
  readonly refused: string | null;
  /** Null of this node itself, and of one that it does not dial. */
  readonly traffic: MemberTraffic | null;
}

/** Members of a group that have not applied the same (docs/decisions/0017). */
export interface Divergence {
  /** First entry at which they differ. */
  readonly firstIndex: bigint;
  /** False where it may be an earlier one, whose hash is not kept any more. */
  readonly exact: boolean;
  /** Ids of those that differ from a majority of the voters; empty where no majority agrees, so that nobody can tell. */
  readonly minority: readonly string[];
}

/** The data directory was put back to an older state, as another member could tell (docs/decisions/0019). */
export interface PutBack {
  /** Id of the member that was told of more than there was. */
  readonly knownBy: string;
  /** The last entry it knows of, and the last that there was; 0 in a group that nobody missed anything of. */
  readonly knownTerm: bigint;
  readonly knownIndex: bigint;
  readonly hadTerm: bigint;
  readonly hadIndex: bigint;
  /** Since when it is known. */
  readonly sinceMs: number;
  /** The others have settled it: until then this node neither votes nor acknowledges in the group. */
  readonly settled: boolean;
}

export interface GroupStatus {
  readonly group: number;
  readonly role: Role;
  readonly leader: string | null;
  readonly term: bigint;
  readonly commitIndex: bigint;
  readonly appliedIndex: bigint;
  readonly applyHash: string;
  /** Events that the group has ever accepted. */
  readonly events: bigint;
  readonly lastIndex: bigint;
  /** First entry of the journal here. */
  readonly firstIndex: bigint;
  readonly snapshot: {
    /** Index of the newest snapshot here. */
    readonly index: bigint;
    readonly taken: number;
    /** Snapshots of the leader that took the place of this node's own state. */
    readonly installed: number;
    /** Why the last attempt at one failed, or null. */
    readonly failure: string | null;
  };
  /** Ids, as the group's configuration has them; it follows the member table step by step. */
  readonly voters: readonly string[];
  /** Voters that are about to go; empty outside a change. */
  readonly outgoing: readonly string[];
  readonly learners: readonly string[];
  /** The election timeouts in use, the shortest and the longest: `raft.electionTimeoutMs`, or with `network.profile: wan` what the round trips ask for. */
  readonly electionTimeoutMs: readonly [number, number];
  /** Share of the last minute's (event, member) pairs that agreed within a second; 100 where there were none. */
  readonly consistencyPercentage: number;
  /** Null while all agree, as far as this node has heard of them. */
  readonly divergence: Divergence | null;
  readonly repair: RepairStatus;
  /** This node is in the minority: it acknowledges nothing, does not lead and refuses reads, until it is started again. */
  readonly isolated: boolean;
  /** Null unless it was noticed since the start of this node. */
  readonly putBack: PutBack | null;
}

/** Entries of the journal that damage has taken, or a snapshot has come in the place of, and that others give back. */
export interface RepairStatus {
  /** The group neither votes, acknowledges nor leads here before they are back. */
  readonly waiting: boolean;
  /** First and last entry of those being asked for, or null. */
  readonly firstIndex: bigint | null;
  readonly lastIndex: bigint | null;
  /** Entries that came back since the start. */
  readonly repaired: number;
  /** Answers since the start that were not what was applied here, by the running hash. */
  readonly refused: number;
}

export interface Status {
  readonly nodeId: string;
  readonly clusterId: string;
  readonly version: string;
  /** These describe group 0; `groups` has them all. */
  readonly role: Role;
  readonly leader: string | null;
  readonly term: bigint;
  readonly commitIndex: bigint;
  readonly appliedIndex: bigint;
  /** Running hash of everything applied, 16 hex digits: equal at equal `appliedIndex` on every member. */
  readonly applyHash: string;
  readonly groups: readonly GroupStatus[];
  readonly members: readonly MemberStatus[];
  readonly network: { readonly profile: 'lan' | 'wan' };
  readonly lanes: { readonly ordered: 'ready' | 'no-quorum' | 'recovering'; readonly causal: CausalLaneStatus; readonly critical: null };
  readonly disk: {
    readonly dataDir: string;
    readonly logBytes: bigint;
    readonly segments: number;
    /** Of them, bytes that no group needs any more and that older entries hold back. */
    readonly heldBackBytes: bigint;
    /** Bytes of a torn last batch that recovery cut off at this start. */
    readonly tornBytes: bigint;
    readonly syncP50Us: number;
    /** The disk has no room: writes wait until it has. */
    readonly full: boolean;
  };
  readonly health: { readonly state: 'ok' | 'degraded' | 'failed'; readonly reasons: readonly string[] };
  /** Elections this node has seen since its start; connections refused; bytes waiting to be published. */
  readonly counters: { readonly [name: string]: number };
}
