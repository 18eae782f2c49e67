/** The lanes an event can travel on; `critical` is not built yet. */
export const LANES = ['ordered', 'causal', 'critical'] as const;
export type Lane = (typeof LANES)[number];

/** Consistency levels, weakest first. The position is also the number on the wire (see docs/formats.md). */
export const LEVELS = ['eventual', 'causal', 'sequential', 'strong', 'linearizable', 'critical'] as const;
export type Level = (typeof LEVELS)[number];

/** The levels the ordered lane serves. */
export const ORDERED_LEVELS = ['sequential', 'strong', 'linearizable'] as const satisfies readonly Level[];
export type OrderedLevel = (typeof ORDERED_LEVELS)[number];

/** The levels the causal lane serves. */
export const CAUSAL_LEVELS = ['eventual', 'causal'] as const satisfies readonly Level[];
export type CausalLevel = (typeof CAUSAL_LEVELS)[number];

export const isCausal = (level: Level): level is CausalLevel => (CAUSAL_LEVELS as readonly Level[]).includes(level);
