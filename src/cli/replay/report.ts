import { facts } from '../output.js';
import type { ReplaySummary } from './replay.js';

/** A replay's figures as lines of text. */
export function describeReplay(summary: ReplaySummary): string {
  return facts([
    ['operations', String(summary.operations)],
    ['events acknowledged', String(summary.events)],
    ['reads left local', String(summary.skippedReads)],
    ['events without receipt', String(summary.failed)],
    ['retries', String(summary.retries)],
    ['receipts of earlier attempts', String(summary.duplicates)],
    ['elapsed', `${(summary.elapsedMs / 1000).toFixed(1)} s`],
    ['events/s', String(summary.eventsPerSecond)],
    ...latencyRows(summary),
    ['longest gap', `${summary.longestGapMs} ms`],
  ]);
}

export function latencyRows(summary: ReplaySummary): [string, string][] {
  const ms = (us: number): string => `${(us / 1000).toFixed(2)} ms`;
  return [
    ['publish p50', ms(summary.publishP50Us)],
    ['publish p99', ms(summary.publishP99Us)],
    ['publish max', ms(summary.publishMaxUs)],
  ];
}
