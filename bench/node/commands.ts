/** What the bench asks of a node's process, over the channel between parent and child. */
import type { CoordinatorConfig, CrdtType, Level } from '../../dist/index.js';

export interface NodeStatus {
  readonly role: string;
  readonly leader: string | null;
  readonly term: bigint;
  readonly appliedIndex: bigint;
  readonly applyHash: string;
  readonly elections: number;
  readonly syncP50Us: number;
  /** To other members. */
  readonly bytesSent: number;
}

/** Events a loop publishes: `plain` has a type and a payload, `full` has every field, its id included; `recorded` has paths and payloads of a trace. */
export type EventShape = 'plain' | 'full' | 'recorded';

export interface OneByOne {
  readonly level: Level;
  readonly warmupMs: number;
  readonly durationMs: number;
}

export interface OneByOneResult {
  /** Publishes, those of the warm-up included. */
  readonly total: number;
  /** Of those after the warm-up. */
  readonly latenciesMs: Float64Array;
}

export interface InFlight {
  readonly inFlight: number;
  /** Events a call; 1 publishes them singly. */
  readonly batch: number;
  readonly shape: EventShape;
  readonly warmupMs: number;
  readonly durationMs: number;
  /** The loops' groups take turns; group 0 alone unless given. */
  readonly groups?: number;
}

/** What came of `inFlight`: `events` within the window of `windowMs`, `total` over all, warm-up and end included. */
export interface InFlightResult {
  readonly events: number;
  readonly total: number;
  readonly windowMs: number;
  /** Of each call that ended in the window. */
  readonly latenciesMs: Float64Array;
}

export interface OpenLoop {
  readonly ratePerSecond: number;
  /** Events a publish. */
  readonly batch: number;
  /** Ends by itself after this; 0: at `stopLoop`. */
  readonly durationMs: number;
  readonly timeoutMs: number;
}

/** One entry a publish, in the order of their ends. Times are those of the process's `performance.now()`. */
export interface OpenLoopResult {
  readonly intendedMs: Float64Array;
  readonly endedMs: Float64Array;
  readonly failed: number;
  readonly firstError: string | null;
}

/** A log to be filled by a member without peers. */
export interface FillLog {
  readonly dataDir: string;
  readonly events: number;
}

/** How the opening of a log went. Times are from its beginning, the parts each by itself. */
export interface OpenedLog {
  /** Superblock, footers, the newest segment. */
  readonly logMs: number;
  /** The snapshot. */
  readonly stateMs: number;
  /** Until the member answers: the protocol thread has gone through a whole turn. */
  readonly answersMs: number;
  /** Until all that is committed is applied. */
  readonly appliedMs: number;
  readonly appliedIndex: bigint;
  readonly events: bigint;
  readonly segments: number;
  /** Resident memory of the process before, and afterwards. */
  readonly residentBefore: number;
  readonly residentAfter: number;
}

export interface PublishCausal {
  readonly ratePerSecond: number;
  /** Events a publish. */
  readonly batch: number;
  readonly durationMs: number;
}

export interface PublishCausalResult {
  readonly events: number;
  /** Of each publish, from its intended time to its receipt. */
  readonly latenciesMs: Float64Array;
}

export interface CrdtRun {
  readonly operations: number;
}

export interface CrdtState {
  /** When it changed last, by the machine's monotonic clock. */
  readonly lastChangeMs: number;
  readonly state: string;
}

export interface FollowedCausal {
  readonly events: number;
  /** Of each event, from its publish at whichever node to its delivery here, by the machine's monotonic clock. */
  readonly latenciesMs: Float64Array;
  /** That clock at the first delivery and at the last. */
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface JournalCheck {
  readonly acknowledged: number;
  readonly missing: number;
  readonly twice: number;
}

export interface Commands {
  start(config: CoordinatorConfig): void;
  status(): NodeStatus;
  /** Microseconds of processor time that the process has used, user and system. */
  cpu(): number;
  /** The process's `performance.now()`. */
  now(): number;
  oneByOne(options: OneByOne): OneByOneResult;
  inFlight(options: InFlight): InFlightResult;
  startLoop(options: OpenLoop): void;
  /** When the loop has ended by itself, or ends it; resolves when all its publishes have ended. */
  joinLoop(): OpenLoopResult;
  stopLoop(): OpenLoopResult;
  /** Counts the events that this process's loops have had acknowledged since the last check and that this node's journal lacks or has twice. */
  checkJournal(): JournalCheck;
  /** Holds the event loop up: asleep in a system call, or busy. */
  block(options: { readonly ms: number; readonly busy: boolean }): void;
  /** Fills a log through a member without peers, which is closed afterwards. Answers the bytes of its segments. */
  fillLog(options: FillLog): number;
  /** Opens a log in this process, which must not have opened another, and closes it again. */
  openLog(options: { readonly dataDir: string }): OpenedLog;
  /** Publishes events without sessions, then one in each of so many sessions: a state for snapshots to be of. */
  grow(options: { readonly events: number; readonly sessions: number }): void;
  /** Has the node write a snapshot and waits for it; answers its bytes. */
  snapshot(): number;
  /** Has all groups led here. */
  leadAll(): void;
  /** Adds a member, as a learner. */
  add(options: { readonly id: string; readonly address: string }): void;
  /** Begins to read the causal lane; answers when it does. */
  followCausal(): void;
  /** Publishes on the causal lane at a rate. */
  publishCausal(options: PublishCausal): PublishCausalResult;
  /** What `followCausal` has had; resolves once these are at least so many events. */
  followedCausal(options: { readonly events: number }): FollowedCausal;
  /** Looks at the CRDT of a type from now on. */
  openCrdt(type: CrdtType | 'map'): void;
  /** Writes to it; answers the time of the last write. */
  writeCrdt(options: CrdtRun): number;
  crdtState(): CrdtState;
  holdNextSync(ms: number): void;
  /** Starts an echo server, on loopback unless another address is given; answers its port. */
  echo(host?: string): number;
  /** Round trips of a small message to an echo server, one after the other; answers their times, in ms. */
  roundTrips(options: { readonly host: string; readonly port: number; readonly samples: number }): Float64Array;
  startProfile(): void;
  /** Writes a `.cpuprofile`. */
  stopProfile(file: string): void;
  close(): void;
}

export type Request = { [Name in keyof Commands]: { readonly id: number; readonly name: Name; readonly options: Parameters<Commands[Name]>[0] } }[keyof Commands];
export type Reply = { readonly id: number; readonly result: unknown } | { readonly id: number; readonly error: string };
