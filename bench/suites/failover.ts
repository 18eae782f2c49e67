import { Cluster, sleep, until } from '../cluster.js';
import type { Context, Suite } from '../context.js';
import { longestGap } from '../gaps.js';
import { missing, onHosts } from '../hosts.js';
import type { Member } from '../member.js';
import { median } from '../samples.js';

const RATE = 200;
const LOAD_PER_SECOND = 10_000;
const LOAD_BATCH = 100;
const KILLS = 20;
const QUICK_KILLS = 2;
const CUTS = 20;
const QUICK_CUTS = 2;
const CATCH_UP_MAX_MS = 60_000;
const TIMEOUT_MS = 10_000;

export const failover: Suite = {
  name: 'failover',
  summary: `the leader killed with SIGKILL under ${RATE} publishes a second, restarted under ${LOAD_PER_SECOND.toLocaleString('en-US')} events a second; the leader cut off silently`,
  async run(context) {
    const { options, report, progress } = context;
    const kills = options.quick ? QUICK_KILLS : KILLS;
    const gaps: number[] = [];
    const catchups: number[] = [];
    let lost = 0;
    let failed = 0;
    await Cluster.with(options.directory, async (cluster) => {
      for (let kill = 1; kill <= kills; kill++) {
        const round = await killOnce(context, cluster);
        progress(`  kill ${kill} of ${kills}: gap ${round.gapMs.toFixed(0)} ms, equal again after ${round.catchUpMs.toFixed(0)} ms`);
        gaps.push(round.gapMs);
        catchups.push(round.catchUpMs);
        failed += round.failed;
        lost += round.lost;
      }
    });
    report.add('failover', 'failover.gap.p50', median(gaps), 'ms');
    report.add('failover', 'failover.gap.max', Math.max(...gaps), 'ms');
    report.add('failover', 'failover.catchup.p50', median(catchups), 'ms');
    report.add('failover', 'failover.catchup.max', Math.max(...catchups), 'ms');
    report.add('failover', 'failover.kills', kills, 'count');
    report.add('failover', 'failover.failedPublishes', failed, 'count');
    report.add('failover', 'failover.lost', lost, 'count');
    await cutOff(context);
  },
};

/** Leaders that are cut off without a word: their hosts' packets are dropped, and no connection ends. */
async function cutOff({ options, report, progress }: Context): Promise<void> {
  const reason = missing();
  if (reason !== null) {
    progress(`  no silent partitions: ${reason}`);
    return;
  }
  const cuts = options.quick ? QUICK_CUTS : CUTS;
  const gaps: number[] = [];
  let lost = 0;
  await onHosts(['a', 'b', 'c'], (lab, places) =>
    Cluster.with(
      options.directory,
      async (cluster) => {
        for (let cut = 1; cut <= cuts; cut++) {
          const { leader, followers } = await cluster.roles();
          const client = followers[cut % 2]!;
          await client.call('startLoop', { ratePerSecond: RATE, batch: 1, durationMs: 0, timeoutMs: TIMEOUT_MS });
          await sleep(500);
          lab.cut([leader.id]);
          await sleep(options.quick ? 1000 : 2000);
          const published = await client.call('stopLoop');
          lab.heal();
          await cluster.equal();
          const { missing, twice } = await client.call('checkJournal');
          lost += missing + twice;
          gaps.push(longestGap(published.endedMs));
          progress(`  cut ${cut} of ${cuts}: gap ${gaps.at(-1)!.toFixed(0)} ms`);
        }
      },
      { places },
    ),
  );
  report.add('failover', 'failover.silent.gap.p50', median(gaps), 'ms');
  report.add('failover', 'failover.silent.gap.max', Math.max(...gaps), 'ms');
  report.add('failover', 'failover.silent.cuts', cuts, 'count');
  report.add('failover', 'failover.silent.lost', lost, 'count');
}

interface Round {
  readonly gapMs: number;
  readonly catchUpMs: number;
  /** Publishes that ended with an error. */
  readonly failed: number;
  /** Acknowledged events that the journal lacks or has twice. */
  readonly lost: number;
}

/** One kill of whoever leads: the client is in a follower's process, which may lead afterwards. */
async function killOnce({ options }: Context, cluster: Cluster): Promise<Round> {
  const settleMs = options.quick ? 1000 : 2000;
  const { leader, followers } = await cluster.roles();
  const client = followers[Math.random() < 0.5 ? 0 : 1]!;
  await client.call('startLoop', { ratePerSecond: RATE, batch: 1, durationMs: 0, timeoutMs: TIMEOUT_MS });
  await sleep(500);
  await leader.kill();
  await sleep(settleMs);
  const published = await client.call('stopLoop');

  await client.call('startLoop', { ratePerSecond: LOAD_PER_SECOND, batch: LOAD_BATCH, durationMs: 0, timeoutMs: TIMEOUT_MS });
  await sleep(settleMs);
  const began = performance.now();
  const restarted = await cluster.start(leader.id);
  await caughtUp(restarted, cluster);
  const catchUpMs = performance.now() - began;
  await sleep(200);
  const load = await client.call('stopLoop');
  await cluster.equal();
  const { missing, twice } = await client.call('checkJournal');
  return { gapMs: longestGap(published.endedMs), catchUpMs, failed: published.failed + load.failed, lost: missing + twice };
}

/** Resolves once the member has applied what the leader had applied just before, while the leader goes on. */
async function caughtUp(member: Member, cluster: Cluster): Promise<void> {
  const others = cluster.members.filter((other) => other !== member);
  await until('catch up', CATCH_UP_MAX_MS, async () => {
    const ahead = (await Promise.all(others.map((other) => other.call('status')))).find(({ role }) => role === 'leader');
    const behind = await member.call('status');
    return ahead !== undefined && behind.leader !== null && behind.appliedIndex >= ahead.appliedIndex;
  });
}
