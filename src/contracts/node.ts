import type { CoordinatorError } from '../errors/index.js';
import type { Causality } from './causality.js';
import type { Delivery, MemberStatus, Outcome, PublishOptions, Receipt, Session, Status, SubscribeOptions } from './coordinator.js';
import type { EventInput } from './event.js';
import type { AgreedReplication, ReplicationRules } from './replication.js';

/** Options of a read that is answered by this node. */
export interface ReadOptions {
  /** Ordered group; 0 when absent. */
  readonly group?: number;
}

/** Options of a call that waits for other members. */
export interface WaitOptions extends ReadOptions {
  /** Default 10,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface SessionOptions {
  readonly after?: string;
}

export interface BarrierOptions extends WaitOptions {
  /** A cursor of the causal lane: waits for what it names instead of for the ordered group. */
  readonly after?: string;
}

/** What a change of membership came to. */
export interface MemberChange {
  /** Index of the command in group 0. */
  readonly index: bigint;
  /** Every group's configuration has followed; false where that takes longer than the call could wait. */
  readonly settled: boolean;
  readonly members: readonly MemberStatus[];
}

export interface TransferOptions extends WaitOptions {
  /** Every group when absent. */
  readonly group?: number;
}

/** The cluster's members. A call that is refused has changed nothing; ids are never used again. */
export interface Members {
  /** Everyone there ever was, removed ones included. */
  list(): readonly MemberStatus[];
  /** A new member, as a learner; it starts with `join` and is reached at `address`, `HOST:PORT` or `unix:PATH`. */
  add(id: string, address: string, options?: WaitOptions): Promise<MemberChange>;
  /** A learner that has caught up becomes a voter. */
  promote(id: string, options?: WaitOptions): Promise<MemberChange>;
  remove(id: string, options?: WaitOptions): Promise<MemberChange>;
  /** A learner that has caught up takes a voter's place in one step. */
  replace(oldId: string, newId: string, options?: WaitOptions): Promise<MemberChange>;
  /** Resolves once this node has heard that the voter leads. */
  transferLeadership(id: string, options?: TransferOptions): Promise<void>;
}

/** Which members hold which events of the causal lane (rule R10). All know of everything: of what one does not hold it delivers the head. */
export interface Replication {
  /** The rules as this node has applied them. */
  rules(): AgreedReplication;
  /**
   * Replaces all rules; what is written from then on goes by them. Rejects with `REPLICATION_INVALID`, or with
   * `REPLICATION_UNSUPPORTED` while a member has not said that it knows of rules.
   */
  set(rules: ReplicationRules, options?: WaitOptions): Promise<AgreedReplication>;
}

/** A snapshot on its way out of a node. */
export interface SnapshotStream {
  readonly group: number;
  readonly index: bigint;
  readonly bytes: number;
  /** The file's bytes, in order; whoever does not read them to their end calls `close`. */
  readonly chunks: AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** A stream of deliveries; ends when its signal aborts, it is closed, or the node closes. */
export interface Subscription extends AsyncIterable<Delivery> {
  close(): Promise<void>;
}

/**
 * What the API serves: a running coordinator, seen from outside.
 * `Coordinator` implements it; the API depends on this and never on the class.
 */
export interface CoordinatorNode {
  readonly nodeId: string;
  readonly clusterId: string;
  /** `after`: what the session's publishes of the causal lane follow, besides its own: the `context` of one at another node. */
  session(options?: SessionOptions): Session;
  publish(event: EventInput, options?: PublishOptions): Promise<Receipt>;
  publishBatch(events: readonly EventInput[], options?: PublishOptions): Promise<Receipt[]>;
  /** Every event's own outcome, in order: a refused event does not fail its neighbours. */
  publishEach(events: readonly EventInput[], options?: PublishOptions): Promise<(Receipt | CoordinatorError)[]>;
  subscribe(options?: SubscribeOptions): Subscription;
  /**
   * The delivery a cursor or an event id names; `NOT_FOUND` when this node's journal has none. Of an event of the causal lane that it does not
   * hold it asks those who do: `NOT_HELD` where none of them has answered in time.
   */
  read(cursorOrEventId: string, options?: ReadOptions): Promise<Delivery>;
  /** Resolves with the applied index, once everything committed before the call is applied here; or once what `after` names is delivered. */
  readBarrier(options?: BarrierOptions): Promise<bigint>;
  /**
   * What became of an event id (rule R4): `committed` where this node has delivered it in the causal lane, or its group has it; else a fence is
   * committed. `absent` speaks of the ordered lane: in the causal one it may be under way from another node.
   */
  outcome(eventId: string, options?: WaitOptions): Promise<Outcome>;
  status(): Status;
  /** What happened before what in the causal lane. */
  readonly causality: Causality;
  readonly members: Members;
  readonly replication: Replication;
  /** Takes a snapshot of a group's state as it is now, and hands its file out. Rejects with `SNAPSHOT_FAILED`. */
  saveSnapshot(options?: WaitOptions): Promise<SnapshotStream>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
  /** The node ended by itself (a failed fdatasync, a panic in the core); its promises are rejected with the same error. */
  on(event: 'failed', listener: (error: CoordinatorError) => void): this;
}
