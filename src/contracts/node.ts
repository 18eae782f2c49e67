import type { CoordinatorError } from '../errors/index.js';
import type { Delivery, Outcome, PublishOptions, Receipt, Session, Status, SubscribeOptions } from './coordinator.js';
import type { EventInput } from './event.js';

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
  session(): Session;
  publish(event: EventInput, options?: PublishOptions): Promise<Receipt>;
  publishBatch(events: readonly EventInput[], options?: PublishOptions): Promise<Receipt[]>;
  /** Every event's own outcome, in order: a refused event does not fail its neighbours. */
  publishEach(events: readonly EventInput[], options?: PublishOptions): Promise<(Receipt | CoordinatorError)[]>;
  subscribe(options?: SubscribeOptions): Subscription;
  /** The delivery a cursor or an event id names; `NOT_FOUND` when this node's journal has none. */
  read(cursorOrEventId: string, options?: ReadOptions): Promise<Delivery>;
  /** Resolves with the applied index, once everything committed before the call is applied here. */
  readBarrier(options?: WaitOptions): Promise<bigint>;
  /** What became of an event id (rule R4); may commit a fence. */
  outcome(eventId: string, options?: WaitOptions): Promise<Outcome>;
  status(): Status;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
  /** The node ended by itself (a failed fdatasync, a panic in the core); its promises are rejected with the same error. */
  on(event: 'failed', listener: (error: CoordinatorError) => void): this;
}
