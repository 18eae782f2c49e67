/** Processes killed under load: what was acknowledged is in every journal once, at the place its receipt names. */
import test from 'ava';
import { newEventId } from '../dist/events/index.js';
import { checkFiles, checkJournals, fileWrite, isBefore, type Row, sleep, until, writes } from './helpers/cluster.js';
import { type NodeProcess, type PlainReceipt, ProcessCluster, type RemoteError, Writer } from './helpers/node-process.js';

const ROUNDS = ['leader', 'follower', 'all', 'leader', 'two', 'all'] as const;

async function victims(cluster: ProcessCluster, whom: (typeof ROUNDS)[number]): Promise<readonly NodeProcess[]> {
  if (whom === 'all') return cluster.members;
  if (whom === 'follower') return (await cluster.followers()).slice(0, 1);
  const leader = await cluster.leader();
  return whom === 'leader' ? [leader] : [leader, ...(await cluster.followers()).slice(0, 1)];
}

test.serial('rounds of kills under publishes that are retried through other members', async (t) => {
  const cluster = await ProcessCluster.start(t);
  // Attempts alternate between the member's own session and none: the same id is recognised either way.
  let attempts = 0;
  const attempt = () => (attempts++ % 2 === 0 ? { timeoutMs: 1500 } : { session: null, timeoutMs: 1500 });
  const writer = new Writer(t, () => cluster.running, { lanes: 6, attempt });
  for (const whom of ROUNDS) {
    await writer.more(100);
    const killed = await victims(cluster, whom);
    await Promise.all(killed.map((member) => member.kill()));
    if (killed.length === 1) await writer.more(30);
    await Promise.all(killed.map((member) => member.start()));
    await cluster.leader();
  }
  await writer.more(100);
  const receipts = await writer.stop();
  t.true(writer.retries > 0, 'no kill cost an attempt: the test shows nothing');
  await cluster.equal();
  const statuses = await cluster.statuses();
  t.is(new Set(statuses.map(({ appliedIndex, applyHash }) => `${appliedIndex} ${applyHash}`)).size, 1);
  checkJournals(t, await cluster.journals(), receipts);
  t.log(`${receipts.length} events, ${writer.retries} retries, ${receipts.filter(({ duplicate }) => duplicate).length} answered as duplicates`);
  await Promise.all(cluster.members.map((member) => member.kill()));
  await checkFiles(t, cluster.plan.ids.map((id) => cluster.plan.dataDir(id)), receipts);
});

test.serial('2,000 publishes of one session, none awaited, through a killed leader: the order is that of the calls', async (t) => {
  const cluster = await ProcessCluster.start(t);
  const leader = await cluster.leader();
  const [follower] = (await cluster.followers()) as [NodeProcess];
  const term = (await leader.status()).term;
  const events = writes(2000, '/pipelined', 2000);
  const parts = [follower.pipeline(events.slice(0, 1000), { session: 'pipeline', timeoutMs: 30_000 })];
  await until('a part of them committed', async () => (await leader.status()).groups[0]!.events > 20n);
  // Others' events come in between from here on.
  const writer = new Writer(t, () => cluster.running.filter((member) => member !== follower));
  await leader.kill();
  parts.push(follower.pipeline(events.slice(1000), { session: 'pipeline', timeoutMs: 30_000 }));
  const ended = (await Promise.all(parts)).flat() as PlainReceipt[];
  t.true(ended.every((receipt) => receipt.eventId !== undefined), JSON.stringify(ended.find((receipt) => receipt.eventId === undefined)));
  t.true(ended.every((receipt, at) => at === 0 || isBefore(ended[at - 1] as PlainReceipt, receipt)));
  t.is(ended[0]?.term, term);
  t.true((ended.at(-1)?.term ?? 0n) > term);
  await leader.start();
  const receipts = await writer.stop();
  await cluster.equal();
  const journals = await cluster.journals();
  checkJournals(t, journals, [...receipts, ...ended]);
  const rows = (journals[0] as Row[]).filter(({ path }) => path?.startsWith('/pipelined/'));
  t.deepEqual(rows.map(({ id }) => id), events.map(({ id }) => id));
  t.deepEqual(rows.map(({ sequence }) => sequence), events.map((_, at) => BigInt(at + 1)));
  t.is(new Set(rows.map(({ session }) => session)).size, 1);
});

test.serial('answers that are lost and publishes that are given up: retried without a session, none is there twice', async (t) => {
  const cluster = await ProcessCluster.start(t);
  const events = writes(300, '/lost', 200);
  let unanswered = 0;
  const receipts = await Promise.all(
    events.map(async (event, at): Promise<PlainReceipt> => {
      await sleep(at * 3);
      const give = at % 3 === 0 ? { timeoutMs: 1 } : at % 3 === 1 ? { abortAfterMs: at % 7 } : {};
      const first = cluster.members[at % 3] as NodeProcess;
      let answered: PlainReceipt | null = null;
      const attempt = first.publish(event, give).then(
        (receipt) => {
          answered = receipt;
        },
        (error: RemoteError) => void t.true(['TIMEOUT', 'ABORTED'].includes(error.code), error.message),
      );
      // Every other attempt is not even waited for: the retry runs beside it.
      if (at % 2 === 0) await attempt;
      if (answered === null) unanswered += 1;
      const again = await (cluster.members[(at + 1) % 3] as NodeProcess).publish(event, { session: null });
      await attempt;
      if (answered !== null) {
        t.is((answered as PlainReceipt).index, again.index);
        t.is((answered as PlainReceipt).offset, again.offset);
      }
      return again;
    }),
  );
  t.true(unanswered > 50, `${unanswered} of ${events.length} answers were lost`);
  await cluster.equal();
  const journals = await cluster.journals();
  checkJournals(t, journals, receipts);
  t.is((journals[0] as Row[]).length, events.length);
  const [event] = events;
  const other = { ...event, type: 'FilesystemWrite', path: '/lost/other' };
  for (const member of cluster.members) {
    for (const session of [null, 'later']) await t.throwsAsync(member.publish(other, { session }), { code: 'EVENT_ID_REUSED' });
  }
});

test.serial('a full restart keeps the journal, the ids and the fences', async (t) => {
  const cluster = await ProcessCluster.start(t);
  const [a, b, c] = cluster.members as [NodeProcess, NodeProcess, NodeProcess];
  const receipts = (await a.pipeline(writes(500, '/before'), { session: 'old' })) as PlainReceipt[];
  const event = fileWrite('/once', 5000);
  const receipt = await b.publish(event);
  const absent = newEventId();
  t.like(await c.call('outcome', absent), { state: 'absent' });
  const all = [...receipts, receipt];
  await cluster.equal();
  const journal = await a.journal();
  await Promise.all(cluster.members.map((member) => member.kill()));
  await checkFiles(t, cluster.plan.ids.map((id) => cluster.plan.dataDir(id)), all);
  await Promise.all(cluster.members.map((member) => member.start()));
  await cluster.leader();
  for (const session of [null, 'new']) {
    const again = await a.publish(event, { session });
    t.like(again, { index: receipt.index, offset: receipt.offset, term: receipt.term, hlc: receipt.hlc, duplicate: true });
  }
  await t.throwsAsync(b.publish({ ...fileWrite('/fenced'), id: absent }), { code: 'EVENT_FENCED' });
  await cluster.equal();
  for (const rows of await cluster.journals()) t.deepEqual(rows, journal);
});

test.serial("a session goes on after the other members' restart, and recognises its own late duplicates", async (t) => {
  const cluster = await ProcessCluster.start(t);
  const [a, b, c] = cluster.members as [NodeProcess, NodeProcess, NodeProcess];
  const before = (await a.pipeline(writes(50, '/before'), { session: 's' })) as PlainReceipt[];
  await Promise.all([b.kill(), c.kill()]);
  // Taken without a quorum: handed in, and handed in again, whoever leads in the end.
  const waiting = a.pipeline(writes(50, '/between'), { session: 's', timeoutMs: 60_000 }) as Promise<PlainReceipt[]>;
  await Promise.all([b.start(), c.start()]);
  const between = await waiting;
  const after = (await a.pipeline(writes(50, '/after'), { session: 's' })) as PlainReceipt[];
  await cluster.equal();
  const [rows, ...others] = (await cluster.journals()) as [Row[], ...Row[][]];
  checkJournals(t, [rows, ...others], [...before, ...between, ...after]);
  t.deepEqual(rows.map(({ sequence }) => sequence), Array.from({ length: 150 }, (_, at) => BigInt(at + 1)));
});
