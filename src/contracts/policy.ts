import type { Where } from './coordinator.js';
import type { Level } from './levels.js';

/** What becomes of an event of the ordered lane while its group has no quorum (rule R5). */
export const ON_QUORUM_LOSS = ['fail', 'wait', 'degrade'] as const;
export type OnQuorumLoss = (typeof ON_QUORUM_LOSS)[number];

/** The levels that a policy may name: those that are served. */
export type ServedLevel = Exclude<Level, 'critical'>;

/** A named protocol of the configuration. */
export type Protocol =
  | { readonly kind: 'eventual'; readonly gossipIntervalMs?: number | undefined; readonly antiEntropyIntervalMs?: number | undefined }
  | { readonly kind: 'causal'; readonly causalityBufferEvents?: number | undefined; readonly deliveryTimeoutMs?: number | undefined }
  | { readonly kind: 'sequential'; readonly ordering?: 'session' | 'total' | undefined; readonly bufferEvents?: number | undefined }
  | { readonly kind: 'strong'; readonly consensusTimeoutMs?: number | undefined; readonly quorumSize?: number | 'all' | undefined };

/** A row of the configuration's `levels`; of those that match an event the first one decides. */
export interface LevelRule {
  readonly name: string;
  /** As a subscription's filter; all events where it is absent. */
  readonly match?: { readonly [Condition in keyof Where]: Where[Condition] | undefined } | undefined;
  /** Of events that name no level themselves; at most one of the two. */
  readonly level?: ServedLevel | 'adaptive' | undefined;
  readonly protocol?: string | undefined;
  /** Bounds of `adaptive`, both included. */
  readonly weakest?: ServedLevel | undefined;
  readonly strongest?: ServedLevel | undefined;
  /** Of adaptive events that say nothing else. */
  readonly maxStalenessMs?: number | undefined;
  /** Default `wait`. */
  readonly onQuorumLoss?: OnQuorumLoss | undefined;
}
