import type { LogEntry, LogGroupSummary, LogScan } from '../../contracts/logscan.js';

const PAGE_ENTRIES = 512;

/** One member's journal of one group, read forward entry by entry. */
export class Journal {
  #page: readonly LogEntry[] = [];
  #position = 0;
  #next: bigint;
  #ended = false;

  constructor(
    readonly nodeId: string,
    /** Position of the member among those that are compared. */
    readonly member: number,
    readonly group: LogGroupSummary,
    private readonly scan: LogScan,
  ) {
    this.#next = group.firstIndex;
  }

  /** The entry at `index`, or null where the journal has none. Indexes must rise from call to call. */
  async at(index: bigint): Promise<LogEntry | null> {
    for (;;) {
      const entry = this.#page[this.#position];
      if (entry !== undefined) {
        if (entry.index > index) return null;
        this.#position += 1;
        if (entry.index === index) return entry;
        continue;
      }
      if (this.#ended) return null;
      this.#page = await this.scan.entries(this.group.group, this.#next, PAGE_ENTRIES);
      this.#position = 0;
      const last = this.#page.at(-1);
      if (last === undefined) this.#ended = true;
      else this.#next = last.index + 1n;
    }
  }
}
