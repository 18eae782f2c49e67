import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { LogEntry, LogScan } from '../../contracts/logscan.js';
import { CoordinatorError } from '../../errors/index.js';
import { outputOption, repeated, unsigned64, usage, wholeNumber, windowOption } from '../arguments.js';
import { type OutputFormat, table, writeJson, writeLine } from '../output.js';
import { progress } from '../progress.js';
import { type ScanOptions, segmentBytesOf, withScans } from '../verify/open.js';
import { type Receipts, readReceipts } from '../verify/receipts.js';
import { describeVerdict, verdictError, verdictToJson } from '../verify/report.js';
import { type Verdict, verifyJournals } from '../verify/verify.js';

const PAGE_ENTRIES = 256;

interface VerifyFlags {
  readonly dataDir: string[];
  readonly receipts?: string;
  readonly windowEvents?: number;
  readonly output: OutputFormat;
}

interface DumpFlags {
  readonly dataDir: string;
  readonly group: number;
  readonly from?: bigint;
  readonly count?: number;
  readonly windowEvents?: number;
  readonly output: OutputFormat;
}

export function registerLog(program: Command): void {
  const log = program
    .command('log')
    .description("read stopped members' files; nothing is changed")
    .addHelpText('after', '\nExample:\n  vexcoord log verify --data-dir ./a --data-dir ./b --data-dir ./c --receipts receipts.jsonl');
  const command = (name: string, description: string): Command => windowOption(outputOption(log.command(name).description(description)));
  command('verify', 'check that journals are whole and equal, and that no acknowledged event is missing or doubled')
    .requiredOption('--data-dir <dir>', 'data directory of a stopped member; give one for each', repeated())
    .option('--receipts <file>', 'receipts as JSON lines, each to be found on a majority of the disks')
    .addHelpText('after', '\nExample:\n  vexcoord log verify --data-dir ./a --data-dir ./b --data-dir ./c --receipts receipts.jsonl')
    .action(verify);
  command('dump', 'list the entries of a journal')
    .requiredOption('--data-dir <dir>', 'data directory of a stopped member')
    .option('--group <n>', 'ordered group', wholeNumber(0, 0xffff_ffff), 0)
    .option('--from <index>', 'first entry', unsigned64)
    .option('--count <n>', 'entries at most', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .addHelpText('after', '\nExample:\n  vexcoord log dump --data-dir ./a --from 100 --count 10')
    .action(dump);
}

async function verify(flags: VerifyFlags): Promise<void> {
  const paths = flags.dataDir.map((directory) => resolve(directory));
  const [again] = paths.filter((path, at) => paths.indexOf(path) < at);
  if (again !== undefined) throw usage(`--data-dir names ${again} twice; give one for each member`);
  const receipts = flags.receipts === undefined ? null : await readReceipts(flags.receipts);
  const verdict = await compared(flags, receipts);
  const error = verdictError(verdict);
  if (flags.output === 'json') await writeJson(verdictToJson(verdict));
  else {
    await writeLine(describeVerdict(verdict));
    if (error === null) await writeLine(conclusion(verdict));
  }
  if (error !== null) throw error;
}

/** Each directory is passed over in one go, which is what takes long. */
async function compared(flags: VerifyFlags, receipts: Receipts | null): Promise<Verdict> {
  const sizes = await Promise.all(flags.dataDir.map(segmentBytesOf));
  const upTo = (count: number): number => sizes.slice(0, count).reduce((sum, size) => sum + size, 0);
  const shown = progress('bytes', upTo(sizes.length));
  try {
    const onRead = (position: number): void => shown.update(upTo(position + 1));
    return await withScans(flags.dataDir, (scans) => verifyJournals(scans, receipts), { ...windowOf(flags), wanted: [...(receipts?.keys() ?? [])], onRead });
  } finally {
    shown.stop();
  }
}

const windowOf = ({ windowEvents }: ScanOptions): ScanOptions => (windowEvents === undefined ? {} : { windowEvents });

function conclusion({ members }: Verdict): string {
  const gaps = members.some((member) => member.gaps.length > 0) ? ', but for gaps' : '';
  return members.length > 1 ? `The journals agree and are whole${gaps}.` : `The journal is whole${gaps}.`;
}

function dump(flags: DumpFlags): Promise<void> {
  return withScans([flags.dataDir], async ([scan]) => (scan === undefined ? undefined : dumpEntries(scan, flags)), windowOf(flags));
}

async function dumpEntries(scan: LogScan, flags: DumpFlags): Promise<void> {
  const { groups } = scan.summary;
  const group = groups.find((one) => one.group === flags.group);
  if (group === undefined) {
    const known = groups.map((one) => one.group).join(', ') || 'none';
    throw new CoordinatorError('GROUP_UNKNOWN', `the log in ${flags.dataDir} has no group ${flags.group}; it has ${known}`, { committed: 'no' });
  }
  let next = flags.from ?? group.firstIndex;
  let left = flags.count ?? Number.POSITIVE_INFINITY;
  let headed = false;
  while (left > 0) {
    const entries = await scan.entries(flags.group, next, Math.min(left, PAGE_ENTRIES));
    const last = entries.at(-1);
    if (last === undefined) return;
    next = last.index + 1n;
    left -= entries.length;
    if (flags.output === 'json') {
      for (const entry of entries) await writeJson(entryToJson(flags.group, group.commitIndex, entry));
    } else {
      const rows = entries.flatMap((entry) => rowsOf(entry, entry.index <= group.commitIndex));
      await writeLine(table(rows, headed ? undefined : ['index', 'term', 'committed', 'hash', 'offset', 'type', 'bytes', 'event', 'path']));
      headed = true;
    }
  }
}

function entryToJson(group: number, commitIndex: bigint, entry: LogEntry): object {
  const { index, term, applyHash, events } = entry;
  return { group, index: index.toString(), term: term.toString(), committed: index <= commitIndex, applyHash, events };
}

function rowsOf(entry: LogEntry, committed: boolean): string[][] {
  const head = [String(entry.index), String(entry.term), committed ? 'yes' : 'no', entry.applyHash ?? ''];
  if (entry.events.length === 0) return [[...head, '', '', '', '', '']];
  return entry.events.map((event) => [
    ...head,
    String(event.offset),
    `0x${event.code.toString(16).padStart(4, '0')}`,
    String(event.payloadBytes),
    event.id,
    event.path ?? '',
  ]);
}
