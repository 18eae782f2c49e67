/** Decision 19: a data directory put back to an older state is noticed by those who were told of more, and settled by them. */
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { Status } from '../dist/index.js';
import { checkFiles, checkJournals, until, writes } from './helpers/cluster.js';
import { type NodeProcess, type PlainReceipt, ProcessCluster } from './helpers/node-process.js';

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
