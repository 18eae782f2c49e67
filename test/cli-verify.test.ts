import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { type Acknowledged, readReceipts } from '../dist/cli/verify/receipts.js';
import { describeVerdict, verdictError, verdictToJson } from '../dist/cli/verify/report.js';
import { verifyJournals } from '../dist/cli/verify/verify.js';
import type { LogEntry, LogRun, LogScan } from '../dist/contracts/logscan.js';
import { room } from './helpers/cluster.js';

const entry = (index: number, ids: readonly string[], hash: string | null = `h${index}`, term = 1): LogEntry => ({
  index: BigInt(index),
  term: BigInt(term),
  applyHash: hash,
  events: ids.map((id, offset) => ({ id, offset, code: 0x0101, path: `/${id}`, payloadBytes: 0 })),
});

/** The files of one member, as a page-wise reader would give them. */
function scan(nodeId: string, entries: readonly LogEntry[], commit = entries.length, clusterId = 'test', damage: LogScan['summary']['damage'] = null): LogScan {
  return {
    summary: {
      nodeId,
      clusterId,
      directory: 'f'.repeat(32),
      dataDir: `/data/${nodeId}`,
      windowEvents: 1000,
      segments: 1,
      bytes: 1n,
      tornBytes: 0n,
      damage,
      groups: [
        {
          group: 0,
          firstIndex: entries[0]?.index ?? 0n,
          lastIndex: entries.at(-1)?.index ?? 0n,
          commitIndex: BigInt(commit),
          term: 1n,
          events: 0n,
          suppressed: 0n,
          refused: 0n,
          journalHash: '',
          applyHash: entries[commit - 1]?.applyHash ?? '',
          gaps: [],
        },
      ],
    },
    // A fake's rows are as exact as its entries: the term and the events in the digest, the hash behind it.
    runs: () => runsOf(entries.filter(({ index }) => index <= BigInt(commit))),
    events: (_group, from, to) => BigInt(entries.filter(({ index }) => index >= from && index < to).flatMap(({ events }) => events).length),
    sightings: () => entries.flatMap(({ index, term, events }) => events.map(({ id, offset }) => ({ eventId: id, index, offset, term }))),
    repeats: async (_group, parts) => {
      const ids = await Promise.all(parts.map(async (part) => (await whole(part.scan)).filter(({ index }) => index >= part.from && index < part.to)));
      const flat = ids.flat().flatMap(({ events }) => events.map(({ id }) => id));
      return new Set(flat).size < flat.length;
    },
    entries: async (_group, from, max) => entries.filter(({ index }) => index >= from).slice(0, Math.min(max, 2)),
    close: async () => {},
  };
}

const hashed = (text: string): Buffer => createHash('sha256').update(text).digest().subarray(0, 8);

function runsOf(entries: readonly LogEntry[]): LogRun[] {
  const runs: { firstIndex: bigint; rows: Buffer }[] = [];
  for (const { index, term, applyHash, events } of entries) {
    const last = runs.at(-1);
    const row = Buffer.concat([hashed(JSON.stringify([String(term), events.map(({ id, offset }) => [id, offset])])), applyHash === null ? Buffer.alloc(8) : hashed(applyHash)]);
    if (last !== undefined && last.firstIndex + BigInt(last.rows.length / 16) === index) last.rows = Buffer.concat([last.rows, row]);
    else runs.push({ firstIndex: index, rows: row });
  }
  return runs;
}

async function whole(of: LogScan): Promise<LogEntry[]> {
  const found: LogEntry[] = [];
  for (let next = 1n; ; ) {
    const page = await of.entries(0, next, 100);
    const last = page.at(-1);
    if (last === undefined) return found;
    found.push(...page);
    next = last.index + 1n;
  }
}

const journal = [entry(1, []), entry(2, ['a', 'b']), entry(3, ['c']), entry(4, ['d'])];
const receipt = (index: number, offset = 0, term = 1): Acknowledged => ({ group: 0, index: BigInt(index), offset, term: BigInt(term), line: 1, found: 0n });

test('equal journals with every receipt in them pass', async (t) => {
  const receipts = new Map([
    ['a', receipt(2)],
    ['b', receipt(2, 1)],
    ['d', receipt(4)],
  ]);
  const verdict = await verifyJournals([scan('a', journal), scan('b', journal), scan('c', journal)], receipts);
  t.true(verdict.ok);
  t.is(verdict.events, 4);
  t.deepEqual(verdict.receipts, { checked: 3, missing: 0, released: 0, ofOtherLanes: 0 });
  t.deepEqual(verdict.members.map(({ state }) => state), ['equal', 'equal', 'equal']);
  t.is(verdictError(verdict), null);
  t.notThrows(() => JSON.stringify(verdictToJson(verdict)));
  t.regex(describeVerdict(verdict), /none missing/);
});

test('a lagging commit mark is behind, and its entries still count as on disk', async (t) => {
  const receipts = new Map([['d', receipt(4)]]);
  const verdict = await verifyJournals([scan('a', journal), scan('b', journal, 3), scan('c', journal.slice(0, 2), 2)], receipts);
  t.true(verdict.ok, describeVerdict(verdict));
  t.deepEqual(verdict.members.map(({ state }) => state), ['equal', 'behind', 'behind']);
});

test('an acknowledged event on one disk of three is missing', async (t) => {
  const verdict = await verifyJournals([scan('a', journal), scan('b', journal.slice(0, 3), 3), scan('c', journal.slice(0, 3), 3)], new Map([['d', receipt(4)]]));
  t.like(verdict.problems[0], { kind: 'missing', eventId: 'd', index: 4n });
  t.is(verdictError(verdict)?.code, 'VERIFY_FAILED');
});

test('an acknowledged event that a committed journal lacks is missing even with a majority', async (t) => {
  const other = [...journal.slice(0, 3), entry(4, ['x'], 'h4x')];
  const verdict = await verifyJournals([scan('a', journal), scan('b', journal), scan('c', other)], new Map([['d', receipt(4)]]));
  t.deepEqual(verdict.problems.map(({ kind }) => kind), ['different', 'missing']);
  t.is(verdict.members[2]?.state, 'different');
});

test('the first difference is named once', async (t) => {
  const other = [entry(1, []), entry(2, ['a', 'x'], 'x2'), entry(3, ['c'], 'x3'), entry(4, ['d'], 'x4')];
  const verdict = await verifyJournals([scan('a', journal), scan('b', other)], null);
  t.is(verdict.problemCount, 1);
  t.like(verdict.problems[0], { kind: 'different', index: 2n });
  t.regex(verdict.problems[0]?.message ?? '', /journals of a and b differ from index 2 on/);
});

test('a hash alone makes a difference', async (t) => {
  const other = journal.map((one) => ({ ...one, applyHash: one.index < 3n ? one.applyHash : 'other' }));
  const verdict = await verifyJournals([scan('a', journal), scan('b', other)], null);
  t.like(verdict.problems[0], { kind: 'different', index: 3n });
});

test('a journal that begins with a snapshot is compared from there on, and lacks nothing', async (t) => {
  // Its first entry is in the snapshot already, and has no hash of its own.
  const joined = [entry(3, ['c'], null), entry(4, ['d'])];
  const receipts = () => new Map([['a', receipt(2)], ['c', receipt(3)], ['d', receipt(4)]]);
  const verdict = await verifyJournals([scan('a', journal), scan('b', journal), scan('c', joined, 4)], receipts());
  t.true(verdict.ok, describeVerdict(verdict));
  t.deepEqual(verdict.members.map(({ state }) => state), ['equal', 'equal', 'equal']);
  const parted = [entry(3, ['c'], null), entry(4, ['d'], 'other')];
  t.like((await verifyJournals([scan('a', journal), scan('b', parted, 4)], null)).problems[0], { kind: 'different', index: 4n });
  const lacking = [entry(3, [], null), entry(4, ['d'])];
  t.deepEqual((await verifyJournals([scan('a', journal), scan('b', lacking, 4)], receipts())).problems.map(({ kind }) => kind), ['different', 'missing']);
});

test('what every journal has let go of is counted, not missed', async (t) => {
  const kept = journal.slice(2);
  const receipts = new Map([['a', receipt(2)], ['d', receipt(4)]]);
  const verdict = await verifyJournals([scan('a', kept, 4), scan('b', kept, 4), scan('c', kept, 4)], receipts);
  t.deepEqual(verdict.receipts, { checked: 2, missing: 0, released: 1, ofOtherLanes: 0 });
  t.regex(describeVerdict(verdict), /none missing; 1 lie before the beginning of every journal/);
});

test('doubled, moved, gap, damage and strangers are told apart', async (t) => {
  const kinds = async (scans: LogScan[], receipts: Map<string, Acknowledged> | null = null) => (await verifyJournals(scans, receipts)).problems.map(({ kind }) => kind);
  const doubled = [...journal, entry(5, ['a'])];
  t.deepEqual(await kinds([scan('a', doubled), scan('b', doubled)]), ['doubled']);
  t.deepEqual(await kinds([scan('a', journal)], new Map([['c', receipt(4)]])), ['moved', 'missing']);
  t.deepEqual(await kinds([scan('a', journal), scan('b', [...journal.slice(0, 2), ...journal.slice(3)], 4)]), ['gap']);
  t.deepEqual(await kinds([scan('a', journal, 4, 'test', { segment: 's', position: 7n, reason: 'crc' })]), ['damage']);
  t.deepEqual(await kinds([scan('a', journal), scan('b', journal, 4, 'other')]), ['cluster']);
  t.deepEqual(await kinds([scan('a', journal), scan('a', journal)]), ['cluster']);
});

test('more than 31 directories are told apart', async (t) => {
  // The last one alone lacks the event, whose bit would be that of the first in 32 bits.
  const scans = Array.from({ length: 33 }, (_, at) => scan(`m${at}`, at === 32 ? journal.slice(0, 3) : journal));
  const verdict = await verifyJournals(scans, new Map([['d', receipt(4)]]));
  t.true(verdict.ok, describeVerdict(verdict));
  const few = Array.from({ length: 40 }, (_, at) => scan(`m${at}`, at < 5 ? journal : journal.slice(0, 3)));
  const { problems } = await verifyJournals(few, new Map([['d', receipt(4)]]));
  t.deepEqual(problems.map(({ message }) => message), ['the acknowledged event d (line 1, index 4) is in 5 of 40 journals, fewer than a majority']);
});

test('directories with other settings are named', async (t) => {
  const other = scan('b', journal);
  const verdict = await verifyJournals([scan('a', journal), { ...other, summary: { ...other.summary, windowEvents: 2000 } }], null);
  t.deepEqual(verdict.problems.map(({ kind, message }) => [kind, message]), [['settings', '/data/b has dedup.windowEvents 2000, /data/a 1000, so that old duplicates count otherwise']]);
});

test('empty journals pass', async (t) => {
  t.true((await verifyJournals([scan('a', []), scan('b', [])], null)).ok);
});

test('receipts are read; a torn last line is left out, a broken one in the middle is not', async (t) => {
  const file = join(room(t), 'receipts.jsonl');
  const line = (id: string, index: string) => JSON.stringify({ eventId: id, lane: 'ordered', group: 0, index, offset: 0, term: '18446744073709551615' });
  writeFileSync(file, `${line('a', '5')}\n{"line": 2, "error": {"code": "TIMEOUT"}}\n${line('a', '5')}\n{"eventId": "c", "lane": "causal"}\n${line('b', '6').slice(0, 20)}`);
  const receipts = await readReceipts(file);
  t.is(receipts.ofOtherLanes, 1);
  t.regex(describeVerdict(await verifyJournals([scan('a', journal)], receipts)), /\n1 receipts of other lanes than the ordered one were passed over/);
  t.deepEqual([...receipts.keys()], ['a']);
  t.is(receipts.get('a')?.term, 2n ** 64n - 1n);
  writeFileSync(file, `nonsense\n${line('a', '5')}\n`);
  t.like(await t.throwsAsync(readReceipts(file)), { code: 'LINE_INVALID' });
  writeFileSync(file, `${line('a', '5')}\n${line('a', '6')}\n${line('b', '7')}\n`);
  t.like(await t.throwsAsync(readReceipts(file)), { code: 'LINE_INVALID' });
  t.like(await t.throwsAsync(readReceipts('/nowhere')), { code: 'USAGE' });
});

test('two directories of one node are named by where they are', async (t) => {
  const journal = [entry(1, ['x'])];
  const copy = scan('a', journal);
  const verdict = await verifyJournals([scan('a', journal), { ...copy, summary: { ...copy.summary, dataDir: '/copy/of/a' } }], null);
  t.deepEqual(verdict.problems.map(({ message }) => message), ['/copy/of/a and /data/a both belong to the node a']);
});
