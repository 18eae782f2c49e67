/** Rules L1 and L2: a last batch that is not whole is settled by the others; damage before it is never passed over. */
import { closeSync, openSync, readdirSync, readSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { scanLog } from '../dist/native/index.js';
import { checkFiles, checkJournals, codeOf, Embedded, fileWrite, journalOf, Plan, sleep, until, writes } from './helpers/cluster.js';
import { NodeProcess, type PlainReceipt, ProcessCluster } from './helpers/node-process.js';

/** Written through to the disk's file by the test, as a crash would have left it. */
function patch(file: string, change: (bytes: Buffer) => readonly [start: number, end: number]): void {
  const descriptor = openSync(file, 'r+');
  try {
    const bytes = Buffer.alloc(statSync(file).size);
    readSync(descriptor, bytes, 0, bytes.length, 0);
    const [start, end] = change(bytes);
    writeSync(descriptor, bytes, start, end - start, start);
  } finally {
    closeSync(descriptor);
  }
}

function newestSegment(dataDir: string): { name: string; file: string } {
  const name = readdirSync(dataDir).filter((each) => each.endsWith('.seg')).sort().at(-1) ?? '';
  return { name, file: join(dataDir, name) };
}

/** Where the last batch's bytes end: what follows was never written. */
function endOf(bytes: Buffer): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}

const TEARS: Record<string, (bytes: Buffer) => readonly [number, number]> = {
  'its last bytes never written': (bytes) => {
    const end = endOf(bytes);
    bytes.fill(0, end - 24, end);
    return [end - 24, end];
  },
  'its last bytes garbled': (bytes) => {
    const end = endOf(bytes);
    for (let at = end - 16; at < end; at++) bytes[at] = (bytes[at] as number) ^ 0xa5;
    return [end - 16, end];
  },
};

for (const [how, tear] of Object.entries(TEARS)) {
  test.serial(`a killed member with the last batch torn, ${how}, joins again and becomes equal`, async (t) => {
    const cluster = await ProcessCluster.start(t);
    const [torn] = (await cluster.followers()) as [NodeProcess];
    const others = cluster.members.filter((member) => member !== torn);
    const receipts = (await torn.pipeline(writes(200, '/before', 300), { consistency: 'strong', quorumSize: 'all' })) as PlainReceipt[];
    // The last batch is large, and on every disk.
    receipts.push(await torn.publish(fileWrite('/large', 50_000), { consistency: 'strong', quorumSize: 'all' }));
    await torn.kill();
    patch(newestSegment(cluster.plan.dataDir(torn.id)).file, tear);
    const scan = await scanLog(cluster.plan.dataDir(torn.id));
    t.true(scan.summary.tornBytes > 0n);
    t.is(scan.summary.damage, null);
    await scan.close();
    receipts.push(await (others[0] as NodeProcess).publish(fileWrite('/meanwhile')));
    await torn.start();
    t.true((await torn.status()).disk.tornBytes > 0n);
    receipts.push(await torn.publish(fileWrite('/after')));
    await cluster.equal();
    checkJournals(t, await cluster.journals(), receipts);
    await cluster.stop();
    await checkFiles(t, cluster.plan.ids.map((id) => cluster.plan.dataDir(id)), receipts);
  });
}

test.serial('all killed and the last batch of one torn: what was acknowledged is still there', async (t) => {
  const cluster = await ProcessCluster.start(t);
  const leader = await cluster.leader();
  const receipts = (await leader.pipeline(writes(200, '/before', 300))) as PlainReceipt[];
  receipts.push(await leader.publish(fileWrite('/large', 50_000)));
  await Promise.all(cluster.members.map((member) => member.kill()));
  patch(newestSegment(cluster.plan.dataDir(leader.id)).file, TEARS['its last bytes garbled'] as (typeof TEARS)[string]);
  await Promise.all(cluster.members.map((member) => member.start()));
  t.true((await leader.status()).disk.tornBytes > 0n);
  receipts.push(await leader.publish(fileWrite('/after')));
  await cluster.equal();
  checkJournals(t, await cluster.journals(), receipts);
});

test.serial('a member with a torn last batch elects nobody who may lack what it had acknowledged', async (t) => {
  const cluster = await ProcessCluster.start(t);
  const leader = await cluster.leader();
  const [torn, behind] = (await cluster.followers()) as [NodeProcess, NodeProcess];
  await behind.kill();
  const receipt = await leader.publish(fileWrite('/on two disks', 50_000));
  await Promise.all([leader.kill(), torn.kill()]);
  patch(newestSegment(cluster.plan.dataDir(torn.id)).file, TEARS['its last bytes garbled'] as (typeof TEARS)[string]);
  // These two are a majority, and neither has the event: alone they must not go on.
  await Promise.all([torn.start(), behind.start()]);
  t.true((await torn.status()).disk.tornBytes > 0n);
  await sleep(4000);
  t.deepEqual((await cluster.statuses()).map(({ leader: known }) => known), [null, null]);
  await leader.start();
  const after = await torn.publish(fileWrite('/after'));
  await cluster.equal();
  checkJournals(t, await cluster.journals(), [receipt, after]);
});

test.serial('with the last batches of all members torn at once, they still come to an agreement', async (t) => {
  const cluster = await ProcessCluster.start(t);
  const leader = await cluster.leader();
  const receipts = (await leader.pipeline(writes(100, '/before', 300), { consistency: 'strong', quorumSize: 'all' })) as PlainReceipt[];
  await cluster.equal();
  await leader.publish(fileWrite('/large', 50_000), { consistency: 'strong', quorumSize: 'all' });
  await Promise.all(cluster.members.map((member) => member.kill()));
  for (const id of cluster.plan.ids) patch(newestSegment(cluster.plan.dataDir(id)).file, TEARS['its last bytes never written'] as (typeof TEARS)[string]);
  await Promise.all(cluster.members.map((member) => member.start()));
  receipts.push(await leader.publish(fileWrite('/after'), { timeoutMs: 60_000 }));
  await cluster.equal();
  checkJournals(t, await cluster.journals(), receipts);
});

test.serial('a byte flipped in the middle of the log of a member alone ends it, and the segment is named', async (t) => {
  const plan = await Plan.of(t, {}, ['a']);
  const member = new NodeProcess('a', plan.config('a'));
  t.teardown(() => member.kill());
  await member.start();
  for (const event of writes(20, '/e', 5000)) await member.publish(event);
  await member.kill();
  const { name, file } = newestSegment(plan.dataDir('a'));
  patch(file, (bytes) => {
    const at = Math.floor(endOf(bytes) / 2);
    // Padding between two records carries nothing: what is flipped is the payload, of which every record has plenty.
    let place = at;
    while (bytes[place] !== '/'.charCodeAt(0)) place += 1;
    bytes[place] = (bytes[place] as number) ^ 0x01;
    return [place, place + 1];
  });
  const again = new NodeProcess('a', plan.config('a'));
  t.teardown(() => again.kill());
  // Nobody else has what is lost: the member ends rather than go on without it.
  await again.start();
  for (const event of writes(1, '/late', 10)) t.is(await codeOf(again.publish(event)), 'LOG_DAMAGED');
  await again.kill();
  const scan = await scanLog(plan.dataDir('a'));
  t.is(scan.summary.damage?.segment, name);
  await scan.close();
});

test.serial('with the newest snapshot damaged or gone a member goes on from the one before, also alone; without any it says so', async (t) => {
  const cluster = await Embedded.start(t, { raft: { snapshotThresholdEntries: 5, compactionThresholdEntries: 2 } }, ['a']);
  const dataDir = cluster.plan.dataDir('a');
  const snapshots = (): string[] => readdirSync(dataDir).filter((name) => /^snapshot-0000-.*\.snap$/.test(name)).sort();
  const state = () => cluster.get('a').status().groups[0]!.snapshot;
  const grow = async (): Promise<void> => {
    const { index } = state();
    await until('a snapshot', async () => {
      await cluster.get('a').publish(fileWrite('/grows'));
      return state().index > index && snapshots().length > 1;
    });
  };
  const again = async (change: (file: string) => void): Promise<void> => {
    await grow();
    const before = await journalOf(cluster.get('a'));
    await cluster.close('a');
    const newest = snapshots().at(-1) as string;
    change(join(dataDir, newest));
    await cluster.open('a');
    await cluster.get('a').publish(fileWrite('/on'));
    t.deepEqual((await journalOf(cluster.get('a'))).slice(0, before.length), before);
    // The damaged one is no longer the newest.
    await until('another snapshot', () => snapshots().at(-1)! > newest && state().failure === null);
  };
  await again((file) =>
    patch(file, (bytes) => {
      bytes[200]! ^= 1;
      return [200, 201];
    }),
  );
  await again((file) => rmSync(file));
  await cluster.close('a');
  for (const name of snapshots()) rmSync(join(dataDir, name));
  t.is(await codeOf(cluster.open('a')), 'STATE_LOST');
});
