/** `log verify` on real files: what it compares, and that each thing it looks for is found. */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Acknowledged } from '../dist/cli/verify/receipts.js';
import { describeVerdict } from '../dist/cli/verify/report.js';
import { verifyJournals } from '../dist/cli/verify/verify.js';
import type { LogGap, LogRun, LogScan } from '../dist/contracts/logscan.js';
import { Coordinator, type Receipt } from '../dist/index.js';
import { scanLog } from '../dist/native/index.js';
import { fileWrite, room, writes } from './helpers/cluster.js';

const WINDOW = 1000;
const MIB = 1024 * 1024;

/** A member alone that publishes and is closed. */
async function member(t: ExecutionContext, nodeId: string, work: (node: Coordinator) => Promise<void>): Promise<string> {
  const dataDir = join(room(t), nodeId);
  const node = await Coordinator.start({
    nodeId,
    clusterId: 'test',
    dataDir,
    listen: '127.0.0.1:0',
    api: false,
    admin: false,
    groups: 2,
    dedup: { windowEvents: WINDOW },
    raft: { snapshotThresholdEntries: 20, compactionThresholdEntries: 1 },
    log: { segmentBytes: MIB, spareSegments: 1 },
  });
  await work(node);
  await node.close();
  return dataDir;
}

async function verdictOf(t: ExecutionContext, directories: readonly string[], receipts: ReadonlyMap<string, Acknowledged> | null = null) {
  const scans = await Promise.all(directories.map((directory) => scanLog(directory, { windowEvents: WINDOW, wanted: [...(receipts?.keys() ?? [])] })));
  t.teardown(() => Promise.all(scans.map((scan) => scan.close())));
  return { verdict: await verifyJournals(scans, receipts), scans };
}

const acknowledged = ({ group, index, offset, term }: Receipt, line: number): Acknowledged => ({ group, index, offset, term, line, found: 0n });

test('receipts are found in every group, above and below a snapshot; one that names another place is not', async (t) => {
  const receipts = new Map<string, Acknowledged>();
  const directory = await member(t, 'a', async (node) => {
    for (let batch = 0; batch < 60; batch++) {
      for (const receipt of await node.publishBatch(writes(5, `/${batch}`), { group: batch % 2 })) receipts.set(receipt.eventId, acknowledged(receipt, receipts.size + 1));
    }
  });
  const { verdict, scans } = await verdictOf(t, [directory], receipts);
  t.deepEqual(verdict.problems, []);
  t.is(verdict.events, 300);
  t.deepEqual(verdict.receipts, { checked: 300, missing: 0, released: 0, ofOtherLanes: 0 });
  t.deepEqual(scans[0]?.summary.groups.map(({ group, events }) => [group, events]), [[0, 150n], [1, 150n]]);
  // What is compared in one piece agrees with what is read entry by entry.
  const entries = (await scans[0]?.entries(1, 1n, 1000)) ?? [];
  t.is(entries.flatMap(({ events }) => events).length, 150);
  const committed = scans[0]?.runs(1).reduce((sum, { rows }) => sum + rows.length / 16, 0);
  t.is(committed, entries.filter(({ index }) => index <= (scans[0]?.summary.groups[1]?.commitIndex ?? 0n)).length);

  const [id, receipt] = [...receipts][7] as [string, Acknowledged];
  const moved = new Map([...receipts].map(([eventId, one]) => [eventId, { ...one, found: 0n }]));
  moved.set(id, { ...receipt, found: 0n, offset: receipt.offset + 1 });
  const { verdict: other } = await verdictOf(t, [directory], moved);
  t.deepEqual(other.problems.map(({ kind, eventId }) => [kind, eventId]), [['moved', id], ['missing', id]]);

  // A receipt given again by a member whose journal has let the event go knows its place, and no term.
  const [second, again] = [...receipts][8] as [string, Acknowledged];
  moved.set(id, { ...receipt, found: 0n }).set(second, { ...again, found: 0n, term: 0n });
  t.deepEqual((await verdictOf(t, [directory], moved)).verdict.problems, []);
  moved.set(second, { ...again, found: 0n, term: again.term + 1n });
  t.deepEqual((await verdictOf(t, [directory], moved)).verdict.problems.map(({ kind }) => kind), ['moved', 'missing']);
});

test('an id that the window had forgotten is found to be doubled', async (t) => {
  const event = fileWrite('/again');
  const places: bigint[] = [];
  const directory = await member(t, 'a', async (node) => {
    places.push((await node.publish(event, { session: null })).index);
    await node.publishBatch(writes(WINDOW, '/between'));
    const again = await node.publish(event, { session: null });
    t.false(again.duplicate);
    places.push(again.index);
    // In another group the same id is another event.
    await node.publish(event, { session: null, group: 1 });
  });
  const { verdict } = await verdictOf(t, [directory]);
  t.is(verdict.problemCount, 1);
  t.like(verdict.problems[0], { kind: 'doubled', eventId: event.id, index: places[1], group: 0 });
  t.regex(verdict.problems[0]?.message ?? '', new RegExp(`at index ${places[0]} and at index ${places[1]}`));
});

test('members that parted are told apart at the first index at which they did', async (t) => {
  const shared = join(room(t), 'shared');
  const start = await member(t, 'a', async (node) => {
    await node.publishBatch(writes(10, '/common'));
  });
  cpSync(start, shared, { recursive: true });
  const more = async (dataDir: string, path: string): Promise<bigint> => {
    const node = await Coordinator.start({ nodeId: 'a', clusterId: 'test', dataDir, listen: '127.0.0.1:0', api: false, admin: false, groups: 2, dedup: { windowEvents: WINDOW } });
    const { index } = await node.publish(fileWrite(path));
    await node.publishBatch(writes(20, path));
    await node.close();
    return index;
  };
  const [index] = [await more(start, '/here'), await more(shared, '/there')];
  const { verdict } = await verdictOf(t, [start, shared]);
  t.deepEqual(verdict.problems.map(({ kind }) => kind), ['cluster', 'different']);
  t.like(verdict.problems[1], { kind: 'different', index, group: 0 });
  t.is(verdict.members.find(({ directory, group }) => group === 0 && directory === verdict.members[0]?.directory)?.state, 'equal');
});

test('a gap in front of a snapshot is named and is no damage; a hole that is none is a problem', async (t) => {
  const receipts = new Map<string, Acknowledged>();
  const whole = await member(t, 'a', async (node) => {
    for (let at = 0; at < 30; at++) {
      const receipt = await node.publish(fileWrite(`/${at}`));
      receipts.set(receipt.eventId, acknowledged(receipt, at + 1));
    }
  });
  const { scans } = await verdictOf(t, [whole], receipts);
  const [scan] = scans as [LogScan];
  const [run] = scan.runs(0) as [LogRun];
  const rows = (from: number, to: number) => ({ firstIndex: run.firstIndex + BigInt(from), rows: run.rows.subarray(from * 16, to * 16) });
  const [firstIndex, lastIndex] = [rows(5, 5).firstIndex, rows(14, 14).firstIndex];
  /** The same journal without some entries. */
  const holed = (gaps: LogGap[]): LogScan => ({
    summary: { ...scan.summary, nodeId: 'b', directory: 'b', groups: scan.summary.groups.map((group) => ({ ...group, gaps: group.group === 0 ? gaps : [] })) },
    runs: (group) => (group === 0 ? [rows(0, 5), rows(15, run.rows.length / 16)] : scan.runs(group)),
    events: (...part) => scan.events(...part),
    sightings: (group) => scan.sightings(group).filter(({ index }) => index < firstIndex || index > lastIndex),
    repeats: (...parts) => scan.repeats(...parts),
    entries: (...part) => scan.entries(...part),
    close: () => Promise.resolve(),
  });
  const fresh = () => new Map([...receipts].map(([id, one]) => [id, { ...one, found: 0n }]));
  const gap = { firstIndex, lastIndex };
  const gapped = await verifyJournals([scan, holed([gap])], fresh());
  t.deepEqual([gapped.ok, gapped.problems], [true, []]);
  t.deepEqual(gapped.members.filter(({ group }) => group === 0).map(({ nodeId, state, gaps }) => [nodeId, state, gaps]), [['a', 'equal', []], ['b', 'equal', [gap]]]);
  t.regex(describeVerdict(gapped), new RegExp(`^Gap: the journal of b lacks the entries ${firstIndex} to ${lastIndex} of group 0`, 'm'));
  const damaged = await verifyJournals([scan, holed([])], fresh());
  t.like(damaged.problems[0], { kind: 'gap', index: firstIndex });
  t.true(damaged.problems.some(({ kind }) => kind === 'missing'));
});
