/** A stopped member's log, opened for reading (`log verify`, `log dump`). */
import type { LogEntry, LogEvent, LogGroupSummary, LogPart, LogRun, LogScan, LogSighting, LogSummary } from '../contracts/index.js';
import { addon, type NativeGroupSummary, type NativePart } from './addon.js';
import { calling, fromNative } from './errors.js';
import { windowOf } from './settings.js';

const ENTRY_BYTES = 32;
const EVENT_BYTES = 28;
const NO_HASH = 0n;
const hash = (value: bigint): string => value.toString(16).padStart(16, '0');

const SIGHTING_BYTES = 24;

/**
 * Opens the log in `dataDir` and passes over all of it; events with the ids `wanted` can be looked up in it afterwards.
 * `windowEvents`, which decides what an old duplicate counts as, is needed only where the directory does not say it.
 * Rejects with `DATA_DIR_IN_USE` or `DATA_DIR_UNREADABLE`, and with `CONFIG_INVALID` where the directory says another window; damage is reported in the summary.
 */
export async function scanLog(dataDir: string, options: { readonly windowEvents?: number; readonly wanted?: readonly string[] } = {}): Promise<LogScan> {
  const { wanted = [] } = options;
  const windowEvents = await windowOf(dataDir, options.windowEvents);
  try {
    const found = await addon().surveyLog(dataDir, windowEvents, packIds(wanted));
    const summary: LogSummary = {
      nodeId: found.nodeId,
      clusterId: found.clusterId,
      directory: found.directory.toString('hex'),
      dataDir,
      windowEvents,
      segments: found.segments,
      bytes: found.bytes,
      tornBytes: found.tornBytes,
      groups: found.groups.map(groupOf),
      damage:
        found.damageReason == null
          ? null
          : { segment: found.damageSegment ?? '', position: found.damagePosition ?? 0n, reason: found.damageReason },
    };
    return new SurveyedScan(dataDir, windowEvents, summary, found.survey, wanted);
  } catch (thrown) {
    throw fromNative(thrown);
  }
}

/** 16 bytes each. What is no id is in no log, and no event has the id zero. */
function packIds(ids: readonly string[]): Buffer {
  const packed = Buffer.alloc(16 * ids.length);
  for (const [at, id] of ids.entries()) packed.write(id.replaceAll('-', ''), 16 * at, 16, 'hex');
  return packed;
}

function groupOf(found: NativeGroupSummary): LogGroupSummary {
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
    gaps: found.gaps,
  };
}

/** Hands out entries of a group in ascending order; going back starts another pass. */
class SurveyedScan implements LogScan {
  readonly summary: LogSummary;
  readonly #dataDir: string;
  readonly #windowEvents: number;
  readonly #wanted: readonly string[];
  readonly #survey: number;
  #scan: number | null = null;
  #group = 0;
  #ready: LogEntry[] = [];
  #next = 0n;

  constructor(dataDir: string, windowEvents: number, summary: LogSummary, survey: number, wanted: readonly string[]) {
    this.#dataDir = dataDir;
    this.#windowEvents = windowEvents;
    this.#survey = survey;
    this.#wanted = wanted;
    this.summary = summary;
  }

  runs(group: number): readonly LogRun[] {
    return calling(() => addon().surveyRuns(this.#survey, group));
  }

  events(group: number, from: bigint, to: bigint): bigint {
    return calling(() => addon().surveyEvents(this.#part(group, from, to)));
  }

  sightings(group: number): readonly LogSighting[] {
    const packed = calling(() => addon().surveySightings(this.#survey, group));
    return Array.from({ length: packed.length / SIGHTING_BYTES }, (_, place) => {
      const at = place * SIGHTING_BYTES;
      return {
        eventId: this.#wanted[packed.readUInt32LE(at)] ?? '',
        offset: packed.readUInt32LE(at + 4),
        index: packed.readBigUInt64LE(at + 8),
        term: packed.readBigUInt64LE(at + 16),
      };
    });
  }

  async repeats(group: number, parts: readonly LogPart[]): Promise<boolean> {
    const native = parts.flatMap(({ scan, from, to }) => (scan instanceof SurveyedScan ? [scan.#part(group, from, to)] : []));
    try {
      return await addon().repeatedIds(native);
    } catch (thrown) {
      throw fromNative(thrown);
    }
  }

  #part(group: number, fromIndex: bigint, toIndex: bigint): NativePart {
    return { survey: this.#survey, group, fromIndex, toIndex };
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
    addon().closeSurvey(this.#survey);
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
