/** A stopped member's log, opened for reading (`log verify`, `log dump`). */
import type { LogEntry, LogEvent, LogGroupSummary, LogScan, LogSummary } from '../contracts/index.js';
import { addon, type NativeScanSummary } from './addon.js';
import { calling, fromNative } from './errors.js';

/** The suppression window that members have unless configured otherwise; it decides what an old duplicate counts as. */
const WINDOW_EVENTS = 1_000_000;
const FIRST_GROUP = 0;
const ENTRY_BYTES = 32;
const EVENT_BYTES = 28;
const NO_HASH = 0n;
const hash = (value: bigint): string => value.toString(16).padStart(16, '0');

/** Opens the log in `dataDir`. Rejects with `DATA_DIR_IN_USE` or `DATA_DIR_UNREADABLE`; damage is reported in the summary. */
export async function scanLog(dataDir: string, options: { readonly windowEvents?: number } = {}): Promise<LogScan> {
  const windowEvents = options.windowEvents ?? WINDOW_EVENTS;
  try {
    const first = await addon().scanLog(dataDir, FIRST_GROUP, windowEvents);
    const found = [first];
    for (const group of first.groups) if (group !== FIRST_GROUP) found.push(await addon().scanLog(dataDir, group, windowEvents));
    const summary: LogSummary = {
      nodeId: first.nodeId,
      clusterId: first.clusterId,
      directory: first.directory.toString('hex'),
      segments: first.segments,
      bytes: first.bytes,
      tornBytes: first.tornBytes,
      groups: found.map(groupOf),
      damage:
        first.damageReason == null
          ? null
          : { segment: first.damageSegment ?? '', position: first.damagePosition ?? 0n, reason: first.damageReason },
    };
    return new PagedScan(dataDir, windowEvents, summary);
  } catch (thrown) {
    throw fromNative(thrown);
  }
}

function groupOf(found: NativeScanSummary): LogGroupSummary {
  return {
    group: found.group,
    firstIndex: found.firstIndex,
    lastIndex: found.lastIndex,
    commitIndex: found.commitIndex,
    term: found.term,
    events: found.events,
    suppressed: found.suppressed,
    refused: found.refused,
    journalHash: hash(found.journalHash),
    applyHash: hash(found.applyHash),
  };
}

/** Hands out entries of a group in ascending order; going back starts the scan anew. */
class PagedScan implements LogScan {
  readonly summary: LogSummary;
  readonly #dataDir: string;
  readonly #windowEvents: number;
  #scan: number | null = null;
  #group = FIRST_GROUP;
  #ready: LogEntry[] = [];
  #next = 0n;

  constructor(dataDir: string, windowEvents: number, summary: LogSummary) {
    this.#dataDir = dataDir;
    this.#windowEvents = windowEvents;
    this.summary = summary;
  }

  async entries(group: number, fromIndex: bigint, entriesMax: number): Promise<readonly LogEntry[]> {
    if (this.#scan === null || group !== this.#group || fromIndex !== this.#next) this.#restart(group, fromIndex);
    while (this.#ready.length < entriesMax && this.#scan !== null) {
      const page = await this.#page(this.#scan);
      if (page.length === 0) break;
      this.#ready.push(...entriesOf(page));
    }
    const entries = this.#ready.splice(0, entriesMax);
    this.#next = (entries.at(-1)?.index ?? fromIndex - 1n) + 1n;
    return entries;
  }

  async #page(scan: number): Promise<Buffer> {
    try {
      return await addon().nextPage(scan);
    } catch (thrown) {
      throw fromNative(thrown);
    }
  }

  #restart(group: number, fromIndex: bigint): void {
    this.#stop();
    this.#scan = calling(() => addon().openScan(this.#dataDir, group, this.#windowEvents, fromIndex));
    this.#group = group;
    this.#next = fromIndex;
  }

  #stop(): void {
    if (this.#scan !== null) addon().closeScan(this.#scan);
    this.#scan = null;
    this.#ready = [];
  }

  close(): Promise<void> {
    this.#stop();
    return Promise.resolve();
  }
}

/** Decodes a page (docs/formats.md, "Packed scan"). */
function* entriesOf(page: Buffer): Generator<LogEntry> {
  let at = 0;
  while (at < page.length) {
    const events: LogEvent[] = [];
    let place = at + ENTRY_BYTES;
    for (let count = page.readUInt32LE(at + 4); count > 0; count--) {
      const pathBytes = page.readUInt16LE(place + 6);
      const id = page.toString('hex', place + 12, place + EVENT_BYTES);
      events.push({
        offset: page.readUInt32LE(place),
        id: `${id.slice(0, 8)}-${id.slice(8, 12)}-${id.slice(12, 16)}-${id.slice(16, 20)}-${id.slice(20)}`,
        code: page.readUInt16LE(place + 4),
        path: pathBytes === 0 ? null : page.toString('utf8', place + EVENT_BYTES, place + EVENT_BYTES + pathBytes),
        payloadBytes: page.readUInt32LE(place + 8),
      });
      place += EVENT_BYTES + pathBytes;
    }
    const applyHash = page.readBigUInt64LE(at + 24);
    yield { index: page.readBigUInt64LE(at + 8), term: page.readBigUInt64LE(at + 16), applyHash: applyHash === NO_HASH ? null : hash(applyHash), events };
    at += page.readUInt32LE(at);
  }
}
