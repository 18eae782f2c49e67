import type { Delivery, Where } from './coordinator.js';

/** How an event of the causal lane stands to another: whether it happened before that, after it, or neither (Lamport 1978). */
export type CausalRelation = 'same' | 'before' | 'after' | 'concurrent';

/**
 * An event of the causal lane: its id, which a node knows of the lane's last `dedup.windowEvents` events; or its id with the cursor of
 * its receipt or of a delivery of it, which is found for as long as the logs have the event.
 */
export type CausalKey = string | { readonly id: string; readonly cursor: string };

export interface RelationOptions {
  readonly signal?: AbortSignal;
}

export interface CausalityOptions {
  /** What is given; whoever happened before whom goes by all events all the same. */
  readonly where?: Where;
  /** The cursor of a delivery of such a stream, which is gone on from. Not together with `direct`. */
  readonly from?: string;
  /**
   * Of causes only the nearest, those that no other cause follows; of effects only the first, those that follow no other effect
   * (of what `where` lets through): at most one of each origin (Schwarz and Mattern 1994). Of an event that stands in several logs
   * the place where subscriptions give it decides.
   */
  readonly direct?: boolean;
  readonly signal?: AbortSignal;
  /** Bytes read ahead at most; default 1 MiB. */
  readonly bufferBytesMax?: number;
}

/** Events that are related to one, none before what it follows; ends behind the last of them, and with `CLOSED` where the node closes before. */
export interface RelatedEvents extends AsyncIterable<Delivery> {
  /** Whether nothing that may have been of them has gone from the logs (rule R11); rejects as the stream does where the event is not found. */
  complete(): Promise<boolean>;
  close(): Promise<void>;
}

/**
 * The graph of what happened before what in the causal lane, as far as it is delivered at this node. An entry of an origin's log follows
 * what its clock names, an event also those before it in its entry. An event that was handed in at several members at once stands in
 * several logs, and is given once: what happened before it in any of them did, and so do those happen after it that know of any; they need
 * not know of all that happened before it. The coordinator's own events are left out, unless `where` names them.
 *
 * Errors: `INVALID_EVENT_ID`; `NOT_FOUND` for an id that is not known here, not delivered yet, or of the ordered lane, whose order is that
 * of its indexes; `CURSOR_COMPACTED` where the event itself has gone from its log, or what `from` names; `CURSOR_INVALID`, `FILTER_INVALID`,
 * `UNKNOWN_EVENT_TYPE` and `USAGE`. Of related events that have gone the stream gives the rest, and `complete` says so; where some go
 * while it is read, it ends with `CURSOR_COMPACTED`.
 */
export interface Causality {
  /** How `one` stands to `other`: `before` if it happened before that. */
  relation(one: CausalKey, other: CausalKey, options?: RelationOptions): Promise<CausalRelation>;
  /** What happened before the event, from the oldest that the logs still have on. */
  causesOf(event: CausalKey, options?: CausalityOptions): RelatedEvents;
  /** What happened after it, of what was delivered here when it was asked. */
  effectsOf(event: CausalKey, options?: CausalityOptions): RelatedEvents;
  /** What was delivered here when it was asked and happened neither before nor after it. */
  concurrentWith(event: CausalKey, options?: Omit<CausalityOptions, 'direct'>): RelatedEvents;
}
