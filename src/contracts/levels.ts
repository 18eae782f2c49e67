/** The lanes an event can travel on; only `ordered` is built so far. */
export const LANES = ['ordered', 'causal', 'critical'] as const;
export type Lane = (typeof LANES)[number];

/** Consistency levels, weakest first. The position is also the number on the wire (see docs/formats.md). */
export const LEVELS = ['eventual', 'causal', 'sequential', 'strong', 'linearizable', 'critical'] as const;
export type Level = (typeof LEVELS)[number];

/** The levels the ordered lane serves. */
export const ORDERED_LEVELS = ['sequential', 'strong', 'linearizable'] as const satisfies readonly Level[];
export type OrderedLevel = (typeof ORDERED_LEVELS)[number];
