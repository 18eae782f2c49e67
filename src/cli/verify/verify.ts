import type { LogScan, LogSummary } from '../../contracts/logscan.js';
import { GroupComparison, type MemberVerdict } from './comparison.js';
import { isSilent } from './journal.js';
import { type Problem, Problems } from './problem.js';
import type { Acknowledged, Receipts } from './receipts.js';

export interface Verdict {
  readonly ok: boolean;
  readonly members: readonly MemberVerdict[];
  /** Events in the longest committed journal of each group, summed. */
  readonly events: number;
  /** Null without a receipts file. */
  readonly receipts: {
    readonly checked: number;
    readonly missing: number;
    /** Not looked for: every journal begins behind their place, or has a gap there. */
    readonly released: number;
    /** Not looked for: receipts of other lanes than the ordered one. */
    readonly ofOtherLanes: number;
  } | null;
  readonly problems: readonly Problem[];
  readonly problemCount: number;
}

/**
 * Compares the journals of stopped members and looks every receipt up in them:
 * below both commit marks two journals must be the same; no event id is accepted twice; every acknowledged event is where its receipt
 * says, in every journal whose commit mark covers it and on a majority of the disks. A commit mark on disk lags behind what was
 * acknowledged, so a journal with a lower one is behind, not different, and entries above it count as on its disk. A journal that begins
 * behind an event, after a snapshot or by retention, or has a gap there in front of a snapshot, says nothing of it.
 */
export async function verifyJournals(scans: readonly LogScan[], receipts: (ReadonlyMap<string, Acknowledged> & Partial<Pick<Receipts, 'ofOtherLanes'>>) | null): Promise<Verdict> {
  const problems = new Problems();
  const summaries = scans.map((scan) => scan.summary);
  checkTogether(summaries, problems);
  const groups = [...new Set(summaries.flatMap((summary) => summary.groups.map(({ group }) => group)))].sort((a, b) => a - b);
  const members: MemberVerdict[] = [];
  let events = 0;
  for (const group of groups) {
    const comparison = new GroupComparison(group, scans, receipts, problems);
    events += await comparison.run();
    members.push(...comparison.verdicts());
  }
  const found = receipts === null ? null : checkReceipts(receipts, summaries, problems);
  return {
    ok: problems.count === 0,
    members,
    events,
    receipts: receipts === null || found === null ? null : { checked: receipts.size, ofOtherLanes: receipts.ofOtherLanes ?? 0, ...found },
    problems: problems.first,
    problemCount: problems.count,
  };
}

function checkTogether(summaries: readonly LogSummary[], problems: Problems): void {
  let first: LogSummary | null = null;
  const directories = new Map<string, string>();
  for (const summary of summaries) {
    const { nodeId, clusterId, dataDir, windowEvents, damage } = summary;
    if (damage !== null) {
      // What a damaged log says of itself is not relied on.
      problems.add('damage', `the log in ${dataDir} is damaged in ${damage.segment || 'its files'} at byte ${damage.position}: ${damage.reason}`);
      continue;
    }
    first ??= summary;
    if (clusterId !== first.clusterId) {
      problems.add('cluster', `${dataDir} belongs to the cluster ${clusterId}, ${first.dataDir} to ${first.clusterId}`);
    }
    if (windowEvents !== first.windowEvents) {
      problems.add('settings', `${dataDir} has dedup.windowEvents ${windowEvents}, ${first.dataDir} ${first.windowEvents}, so that old duplicates count otherwise`);
    }
    const other = directories.get(nodeId);
    if (other !== undefined) problems.add('cluster', `${dataDir} and ${other} both belong to the node ${nodeId}`);
    directories.set(nodeId, dataDir);
  }
}

/** Adds a problem for every acknowledged event that is not where it must be. */
function checkReceipts(receipts: ReadonlyMap<string, Acknowledged>, summaries: readonly LogSummary[], problems: Problems): { missing: number; released: number } {
  const majority = Math.floor(summaries.length / 2) + 1;
  let missing = 0;
  let released = 0;
  for (const [eventId, receipt] of receipts) {
    const has = (member: number): boolean => (receipt.found & (1n << BigInt(member))) !== 0n;
    const journals = summaries.map((summary) => summary.groups.find(({ group }) => group === receipt.group));
    const silent = (member: number): boolean => {
      const journal = journals[member];
      return journal !== undefined && isSilent(journal, receipt.index);
    };
    const without = summaries.filter((_, member) => (journals[member]?.commitIndex ?? 0n) >= receipt.index && !has(member) && !silent(member));
    const count = summaries.filter((_, member) => has(member)).length;
    const untold = summaries.filter((_, member) => silent(member)).length;
    if (untold === summaries.length) released += 1;
    if (without.length === 0 && count + untold >= majority) continue;
    missing += 1;
    const where =
      without.length > 0
        ? `is not in the journal of ${without.map(({ nodeId }) => nodeId).join(', ')}`
        : `is in ${count} of ${summaries.length} journals, fewer than a majority`;
    problems.add('missing', `the acknowledged event ${eventId} (line ${receipt.line}, index ${receipt.index}) ${where}`, {
      group: receipt.group,
      index: receipt.index,
      eventId,
    });
  }
  return { missing, released };
}
