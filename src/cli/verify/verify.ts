import type { LogEntry, LogScan, LogSummary } from '../../contracts/logscan.js';
import { Journal } from './journal.js';
import { type Problem, Problems } from './problem.js';
import type { Acknowledged } from './receipts.js';

export interface MemberVerdict {
  readonly nodeId: string;
  readonly directory: string;
  readonly group: number;
  readonly commitIndex: bigint;
  readonly lastIndex: bigint;
  readonly events: bigint;
  readonly applyHash: string;
  /** `behind`: equal up to its own commit mark, which is below the others'. */
  readonly state: 'equal' | 'behind' | 'different' | 'damaged';
}

export interface Verdict {
  readonly ok: boolean;
  readonly members: readonly MemberVerdict[];
  /** Events in the longest committed journal of each group, summed. */
  readonly events: number;
  /** Null without a receipts file. */
  readonly receipts: {
    readonly checked: number;
    readonly missing: number;
    /** Not looked for: every journal begins behind their place. */
    readonly released: number;
  } | null;
  readonly problems: readonly Problem[];
  readonly problemCount: number;
}

/**
 * Compares the journals of stopped members and looks every receipt up in them:
 * below both commit marks two journals must be the same; no event id is accepted twice; every acknowledged event is where its receipt
 * says, in every journal whose commit mark covers it and on a majority of the disks. A commit mark on disk lags behind what was
 * acknowledged, so a journal with a lower one is behind, not different, and entries above it count as on its disk. A journal that begins
 * behind an event, after a snapshot or by retention, says nothing of it.
 */
export async function verifyJournals(scans: readonly LogScan[], receipts: ReadonlyMap<string, Acknowledged> | null): Promise<Verdict> {
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
    receipts: receipts === null || found === null ? null : { checked: receipts.size, ...found },
    problems: problems.first,
    problemCount: problems.count,
  };
}

function checkTogether(summaries: readonly LogSummary[], problems: Problems): void {
  let first: LogSummary | null = null;
  const directories = new Map<string, string>();
  for (const summary of summaries) {
    const { nodeId, clusterId, directory, damage } = summary;
    if (damage !== null) {
      // What a damaged log says of itself is not relied on.
      problems.add('damage', `the log in ${directory} is damaged in ${damage.segment || 'its files'} at byte ${damage.position}: ${damage.reason}`);
      continue;
    }
    first ??= summary;
    if (clusterId !== first.clusterId) {
      problems.add('cluster', `${directory} belongs to the cluster ${clusterId}, ${first.directory} to ${first.clusterId}`);
    }
    const other = directories.get(nodeId);
    if (other !== undefined) problems.add('cluster', `${directory} and ${other} both belong to the node ${nodeId}`);
    directories.set(nodeId, directory);
  }
}

/** Walks the journals of one group side by side. */
class GroupComparison {
  readonly #journals: Journal[];
  readonly #different = new Set<number>();
  readonly #damaged: ReadonlySet<number>;
  /** Where each id was accepted in the committed journal. */
  readonly #accepted = new Map<string, bigint>();

  constructor(
    private readonly group: number,
    private readonly scans: readonly LogScan[],
    private readonly receipts: ReadonlyMap<string, Acknowledged> | null,
    private readonly problems: Problems,
  ) {
    this.#journals = scans.flatMap((scan, member) => {
      const summary = scan.summary.groups.find((one) => one.group === group);
      return summary === undefined ? [] : [new Journal(scan.summary.nodeId, member, summary, scan)];
    });
    this.#damaged = new Set(scans.flatMap((scan, member) => (scan.summary.damage === null ? [] : [member])));
  }

  /** Resolves with the number of committed events. */
  async run(): Promise<number> {
    const firsts = this.#journals.filter(({ group }) => group.lastIndex > 0n).map(({ group }) => group.firstIndex);
    const last = this.#journals.reduce((most, { group }) => (group.lastIndex > most ? group.lastIndex : most), 0n);
    const from = firsts.reduce((least, first) => (first < least ? first : least), last);
    for (let index = from; index <= last && last > 0n; index += 1n) await this.#compareAt(index);
    return this.#accepted.size;
  }

  verdicts(): MemberVerdict[] {
    const most = this.#journals.reduce((highest, { group }) => (group.commitIndex > highest ? group.commitIndex : highest), 0n);
    return this.#journals.map(({ nodeId, member, group }) => ({
      nodeId,
      directory: this.scans[member]?.summary.directory ?? '',
      group: this.group,
      commitIndex: group.commitIndex,
      lastIndex: group.lastIndex,
      events: group.events,
      applyHash: group.applyHash,
      state: this.#damaged.has(member)
        ? 'damaged'
        : this.#different.has(member)
          ? 'different'
          : group.commitIndex < most
            ? 'behind'
            : 'equal',
    }));
  }

  async #compareAt(index: bigint): Promise<void> {
    let reference: { nodeId: string; entry: LogEntry } | null = null;
    for (const journal of this.#journals) {
      const entry = await journal.at(index);
      const committed = index <= journal.group.commitIndex;
      if (entry === null) {
        if (committed && index >= journal.group.firstIndex) {
          this.#different.add(journal.member);
          this.problems.add('gap', `the journal of ${journal.nodeId} has no entry ${index}, though it is committed up to ${journal.group.commitIndex}`, { group: this.group, index });
        }
        continue;
      }
      this.#findReceipts(journal, entry);
      if (!committed) continue;
      if (reference === null) {
        reference = { nodeId: journal.nodeId, entry };
        this.#accept(journal.nodeId, entry);
      } else if (!this.#different.has(journal.member)) {
        const difference = differenceOf(reference.entry, entry);
        if (difference === null) continue;
        // What follows differs because this did.
        this.#different.add(journal.member);
        this.problems.add('different', `the journals of ${reference.nodeId} and ${journal.nodeId} differ from index ${index} on: ${difference}`, { group: this.group, index });
      }
    }
  }

  #accept(nodeId: string, entry: LogEntry): void {
    for (const { id } of entry.events) {
      const earlier = this.#accepted.get(id);
      if (earlier === undefined) this.#accepted.set(id, entry.index);
      else {
        this.problems.add('doubled', `${nodeId} has accepted the event ${id} twice, at index ${earlier} and at index ${entry.index}`, {
          group: this.group,
          index: entry.index,
          eventId: id,
        });
      }
    }
  }

  #findReceipts(journal: Journal, entry: LogEntry): void {
    if (this.receipts === null) return;
    for (const { id, offset } of entry.events) {
      const receipt = this.receipts.get(id);
      if (receipt === undefined) continue;
      if (receipt.group === this.group && receipt.index === entry.index && receipt.offset === offset && receipt.term === entry.term) {
        receipt.found |= 1 << journal.member;
      } else if (entry.index <= journal.group.commitIndex) {
        this.problems.add(
          'moved',
          `the receipt of ${id} names index ${receipt.index}, offset ${receipt.offset}, term ${receipt.term}, but ${journal.nodeId} has the event at index ${entry.index}, offset ${offset}, term ${entry.term}`,
          { group: this.group, index: entry.index, eventId: id },
        );
      }
    }
  }
}

function differenceOf(one: LogEntry, other: LogEntry): string | null {
  if (one.term !== other.term) return `the terms are ${one.term} and ${other.term}`;
  if (one.events.length !== other.events.length) return `${one.events.length} and ${other.events.length} events`;
  const at = one.events.findIndex((event, place) => event.id !== other.events[place]?.id || event.offset !== other.events[place]?.offset);
  if (at >= 0) return `event ${at} of the entry is ${one.events[at]?.id} and ${other.events[at]?.id}`;
  // A journal that began with a snapshot has hashes from there on; they cover what came before.
  if (one.applyHash === null || other.applyHash === null) return null;
  return one.applyHash === other.applyHash ? null : `the hashes are ${one.applyHash} and ${other.applyHash}`;
}

/** Adds a problem for every acknowledged event that is not where it must be. */
function checkReceipts(receipts: ReadonlyMap<string, Acknowledged>, summaries: readonly LogSummary[], problems: Problems): { missing: number; released: number } {
  const majority = Math.floor(summaries.length / 2) + 1;
  let missing = 0;
  let released = 0;
  for (const [eventId, receipt] of receipts) {
    const has = (member: number): boolean => (receipt.found & (1 << member)) !== 0;
    const journals = summaries.map((summary) => summary.groups.find(({ group }) => group === receipt.group));
    const beginsBehind = (member: number): boolean => (journals[member]?.firstIndex ?? 0n) > receipt.index;
    const without = summaries.filter((_, member) => (journals[member]?.commitIndex ?? 0n) >= receipt.index && !has(member) && !beginsBehind(member));
    const count = summaries.filter((_, member) => has(member)).length;
    const behind = summaries.filter((_, member) => beginsBehind(member)).length;
    if (behind === summaries.length) released += 1;
    if (without.length === 0 && count + behind >= majority) continue;
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
