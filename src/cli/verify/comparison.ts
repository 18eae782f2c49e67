import type { LogEntry, LogGap, LogScan } from '../../contracts/logscan.js';
import { firstDifference, Journal } from './journal.js';
import type { Problems } from './problem.js';
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
  readonly gaps: readonly LogGap[];
}

/** Committed entries of the group, read in one journal that has them. */
interface Stretch {
  readonly journal: Journal;
  readonly from: bigint;
  to: bigint;
}

/**
 * Holds the journals of one group side by side. They are compared by what the pass over each log has kept of every entry, in stretches
 * within which the same members have all entries; only what differs is read again.
 */
export class GroupComparison {
  readonly #journals: Journal[];
  readonly #different = new Set<number>();
  readonly #damaged: ReadonlySet<number>;
  /** The committed journal, ascending. */
  readonly #committed: Stretch[] = [];

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
    const bounds = [...new Set(this.#journals.flatMap((journal) => journal.bounds()))].sort((a, b) => (a < b ? -1 : 1));
    for (const [at, from] of bounds.entries()) {
      const to = bounds[at + 1];
      if (to !== undefined) await this.#compare(from, to);
    }
    for (const journal of this.#journals) this.#findReceipts(journal);
    const parts = this.#committed.map(({ journal, from, to }) => ({ scan: journal.scan, from, to }));
    if ((await this.#journals[0]?.scan.repeats(this.group, parts)) === true) await this.#findDoubled();
    return parts.reduce((sum, { scan, from, to }) => sum + Number(scan.events(this.group, from, to)), 0);
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
      gaps: group.gaps,
      state: this.#damaged.has(member)
        ? 'damaged'
        : this.#different.has(member)
          ? 'different'
          : group.commitIndex < most
            ? 'behind'
            : 'equal',
    }));
  }

  /** Compares the entries from `from` up to `to`: of each journal either all of them are here, or none. */
  async #compare(from: bigint, to: bigint): Promise<void> {
    let reference: { readonly journal: Journal; readonly rows: Buffer } | null = null;
    for (const journal of this.#journals) {
      const rows = journal.rows(from, to);
      if (rows === null) {
        if (journal.promises(from)) this.#gap(journal, from, to);
      } else if (reference === null) {
        reference = { journal, rows };
        this.#commit(journal, from, to);
      } else if (!this.#different.has(journal.member)) {
        const row = firstDifference(reference.rows, rows);
        if (row !== null) await this.#differ(reference.journal, journal, from + BigInt(row));
      }
    }
  }

  #commit(journal: Journal, from: bigint, to: bigint): void {
    const last = this.#committed.at(-1);
    if (last?.journal === journal && last.to === from) last.to = to;
    else this.#committed.push({ journal, from, to });
  }

  #gap(journal: Journal, from: bigint, to: bigint): void {
    this.#different.add(journal.member);
    for (let index = from; index < to; index += 1n) {
      this.problems.add('gap', `the journal of ${journal.nodeId} has no entry ${index}, though it is committed up to ${journal.group.commitIndex}`, {
        group: this.group,
        index,
      });
    }
  }

  async #differ(reference: Journal, journal: Journal, index: bigint): Promise<void> {
    // What follows differs because this did.
    this.#different.add(journal.member);
    const difference = differenceOf(await reference.at(index), await journal.at(index));
    this.problems.add('different', `the journals of ${reference.nodeId} and ${journal.nodeId} differ from index ${index} on: ${difference}`, {
      group: this.group,
      index,
    });
  }

  /** Names the ids that are in the committed journal twice. */
  async #findDoubled(): Promise<void> {
    const accepted = new Map<string, bigint>();
    for (const { journal, from, to } of this.#committed) {
      for await (const { index, events } of journal.entries(from, to)) {
        for (const { id } of events) {
          const earlier = accepted.get(id);
          if (earlier === undefined) accepted.set(id, index);
          else {
            this.problems.add('doubled', `${journal.nodeId} has accepted the event ${id} twice, at index ${earlier} and at index ${index}`, {
              group: this.group,
              index,
              eventId: id,
            });
          }
        }
      }
    }
  }

  #findReceipts(journal: Journal): void {
    if (this.receipts === null) return;
    for (const { eventId, index, offset, term } of journal.scan.sightings(this.group)) {
      const receipt = this.receipts.get(eventId);
      if (receipt === undefined) continue;
      // A receipt given again may not know its term any more.
      const sameTerm = receipt.term === term || receipt.term === 0n;
      if (receipt.group === this.group && receipt.index === index && receipt.offset === offset && sameTerm) {
        receipt.found |= 1n << BigInt(journal.member);
      } else if (index <= journal.group.commitIndex) {
        this.problems.add(
          'moved',
          `the receipt of ${eventId} names index ${receipt.index}, offset ${receipt.offset}, term ${receipt.term}, but ${journal.nodeId} has the event at index ${index}, offset ${offset}, term ${term}`,
          { group: this.group, index, eventId },
        );
      }
    }
  }
}

function differenceOf(one: LogEntry | null, other: LogEntry | null): string {
  if (one === null || other === null) return 'one of them cannot be read';
  if (one.term !== other.term) return `the terms are ${one.term} and ${other.term}`;
  if (one.events.length !== other.events.length) return `${one.events.length} and ${other.events.length} events`;
  const at = one.events.findIndex((event, place) => event.id !== other.events[place]?.id || event.offset !== other.events[place]?.offset);
  if (at >= 0) return `event ${at} of the entry is ${one.events[at]?.id} and ${other.events[at]?.id}`;
  if (one.applyHash === null || other.applyHash === null) return "the entry's bytes are not the same";
  return one.applyHash === other.applyHash ? "the entry's bytes are not the same" : `the hashes are ${one.applyHash} and ${other.applyHash}`;
}
