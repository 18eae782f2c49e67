/** Decision 19: a data directory put back to an older state is noticed by those who were told of more, and settled by them. */
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { Status } from '../dist/index.js';
import { checkFiles, checkJournals, sleep, until, writes } from './helpers/cluster.js';
import { NodeProcess, type PlainReceipt, ProcessCluster } from './helpers/node-process.js';

const putBackOf = (status: Status) => status.groups[0]?.putBack ?? null;

for (const [how, stop] of Object.entries({ 'that was closed': (node: NodeProcess) => node.stop(), 'that was killed': (node: NodeProcess) => node.kill() })) {
  test.serial(`a backup of a member's directory ${how}, restored, is noticed and settled with nothing lost`, async (t) => {
    const cluster = await ProcessCluster.start(t);
    const [member] = (await cluster.followers()) as [NodeProcess];
    const others = cluster.members.filter((other) => other !== member) as [NodeProcess, NodeProcess];
    const [directory, backup] = [cluster.plan.dataDir(member.id), join(cluster.plan.directory, 'backup')];
    const all = { consistency: 'strong', quorumSize: 'all' } as const;
    const receipts = (await member.pipeline(writes(100, '/before', 300), all)) as PlainReceipt[];
    await stop(member);
    cpSync(directory, backup, { recursive: true });
    await member.start();
    receipts.push(...((await others[0].pipeline(writes(100, '/since', 300), all)) as PlainReceipt[]));
    await stop(member);
    rmSync(directory, { recursive: true });
    cpSync(backup, directory, { recursive: true });

    // An ordinary start of another member raises no alarm.
    t.true((await Promise.all(others.map((other) => other.status()))).every((status) => putBackOf(status) === null));
    await member.start();
    await until('the older state is noticed and settled', async () => putBackOf(await member.status())?.settled === true);
    const putBack = putBackOf(await member.status());
    t.true(others.some((other) => other.id === putBack?.knownBy), putBack?.knownBy);
    t.true((putBack?.hadIndex ?? 0n) < (putBack?.knownIndex ?? 0n), `${putBack?.hadIndex} is before ${putBack?.knownIndex}`);
    receipts.push(...((await member.pipeline(writes(20, '/after', 300), all)) as PlainReceipt[]));
    await cluster.equal();
    await until('health', async () => (await member.status()).health.state === 'ok');
    checkJournals(t, await cluster.journals(), receipts);

    // It is of the present again: the next start is an ordinary one.
    await stop(member);
    await member.start();
    await cluster.equal();
    t.is(putBackOf(await member.status()), null);
    await cluster.stop();
    await checkFiles(t, cluster.plan.ids.map((id) => cluster.plan.dataDir(id)), receipts);
  });
}

test.serial('a voter whose disk is lost joins again: it votes for nobody who lacks what it had acknowledged', async (t) => {
  const cluster = await ProcessCluster.start(t);
  const leader = await cluster.leader();
  const [away, emptied] = (await cluster.followers()) as [NodeProcess, NodeProcess];
  await away.kill();
  const receipts = (await leader.pipeline(writes(20, '/while-one-is-away', 300), { consistency: 'linearizable' })) as PlainReceipt[];
  await emptied.kill();
  leader.signal('SIGSTOP');
  rmSync(cluster.plan.dataDir(emptied.id), { recursive: true });

  // These two are a majority in number: together they lack what was acknowledged.
  const joining = new NodeProcess(emptied.id, { ...cluster.plan.config(emptied.id), join: true });
  t.teardown(() => joining.kill());
  cluster.members.splice(cluster.members.indexOf(emptied), 1, joining);
  await Promise.all([away.start(), joining.start()]);
  for (let looked = 0; looked < 30; looked++) {
    t.deepEqual(await Promise.all([away, joining].map(async (member) => (await member.status()).leader)), [null, null]);
    await sleep(100);
  }
  leader.signal('SIGCONT');
  await cluster.equal();
  receipts.push(...((await joining.pipeline(writes(20, '/after', 300), { consistency: 'strong', quorumSize: 'all' })) as PlainReceipt[]));
  await cluster.equal();
  checkJournals(t, await cluster.journals(), receipts);
});
