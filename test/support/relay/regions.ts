/** Five members in three regions, as the figures for far lines are measured. */
import type { CoordinatorConfig } from '../../../dist/index.js';
import type { LineSettings } from './lines.js';

const REGIONS: Readonly<Record<string, string>> = { a: 'one', b: 'one', c: 'two', d: 'two', e: 'three' };
export const FAR_IDS = Object.keys(REGIONS);

/** Round trips between members, in ms; by their regions, in the order of the alphabet. */
const ROUND_TRIP_MS: Readonly<Record<string, number>> = { 'one two': 20, 'one three': 80, 'three two': 150 };
const WITHIN_MS = 1;

export const farLine =
  (more: Omit<LineSettings, 'delayMs'> = {}) =>
  (from: string, to: string): LineSettings => {
    const between = [REGIONS[from], REGIONS[to]].sort().join(' ');
    return { delayMs: (REGIONS[from] === REGIONS[to] ? WITHIN_MS : ROUND_TRIP_MS[between]!) / 2, ...more };
  };

/** The timeouts are as delivered, and follow what the members measure. */
export const FAR_SETTINGS = { raft: {}, network: { profile: 'wan' } } satisfies Pick<CoordinatorConfig, 'raft' | 'network'>;
