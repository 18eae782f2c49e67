import { Cluster, sleep } from '../cluster.js';
import type { Context, Suite } from '../context.js';
import type { Member } from '../member.js';
import { percentile } from '../samples.js';

const RATE = 200;
const BLOCK_MS = 10_000;
const QUICK_BLOCK_MS = 3000;
const HOLD_MS = 2000;
/** Publishing goes on this long after the disturbance. */
const AFTER_MS = 1000;
const TIMEOUT_MS = 20_000;
const STALL_POLL_MS = 20;

interface Disturbance {
  readonly figure: string;
  readonly what: string;
  ms(quick: boolean): number;
  /** Who publishes meanwhile. */
  publisher(leader: Member, followers: readonly [Member, Member]): Member;
  begin(leader: Member, followers: readonly [Member, Member], ms: number): Promise<void>;
  /** Who must be seen to stand still, as proof that the disturbance struck. */
  stalls?(followers: readonly [Member, Member]): Member;
}

const blockMs = (quick: boolean) => (quick ? QUICK_BLOCK_MS : BLOCK_MS);
const DISTURBANCES: readonly Disturbance[] = [
  {
    figure: 'isolation.blocked',
    what: "the leader's event loop blocked in a system call",
    ms: blockMs,
    publisher: (_, followers) => followers[0],
    begin: (leader, _, ms) => leader.call('block', { ms, busy: false }),
  },
  {
    figure: 'isolation.busy',
    what: "the leader's event loop busy, with a whole processor",
    ms: blockMs,
    publisher: (_, followers) => followers[0],
    begin: (leader, _, ms) => leader.call('block', { ms, busy: true }),
  },
  {
    figure: 'isolation.sync',
    what: 'one fdatasync of a follower held',
    ms: () => HOLD_MS,
    publisher: (leader) => leader,
    begin: (_, followers, ms) => followers[1].call('holdNextSync', ms),
    stalls: (followers) => followers[1],
  },
];

export const isolation: Suite = {
  name: 'isolation',
  summary: `commits at ${RATE} a second while the leader's event loop is blocked, and while a follower's disk stalls`,
  async run(context) {
    await Cluster.with(context.options.directory, async (cluster) => {
      for (const disturbance of DISTURBANCES) await disturb(context, cluster, disturbance);
    });
  },
};

async function disturb({ options, report, progress }: Context, cluster: Cluster, disturbance: Disturbance): Promise<void> {
  const { figure, what } = disturbance;
  const ms = disturbance.ms(options.quick);
  progress(`  ${what} for ${ms / 1000} s`);
  const { leader, followers } = await cluster.roles();
  const publisher = disturbance.publisher(leader, followers);
  const before = await cluster.statuses();
  await publisher.call('startLoop', { ratePerSecond: RATE, batch: 1, durationMs: ms + AFTER_MS, timeoutMs: TIMEOUT_MS });
  await disturbance.begin(leader, followers, ms);
  const stalled = disturbance.stalls === undefined ? null : longestStall(disturbance.stalls(followers), ms + AFTER_MS / 2);
  const { intendedMs, endedMs, failed, firstError } = await publisher.call('joinLoop');
  if (failed > 0) progress(`  ${failed} publishes failed, the first with ${firstError}`);
  await cluster.equal();
  const after = await cluster.statuses();
  const { missing, twice } = await publisher.call('checkJournal');

  const latencies = endedMs.map((ended, at) => ended - intendedMs[at]!);
  const elections = [...after].reduce((most, [id, { elections }]) => Math.max(most, elections - (before.get(id)?.elections ?? 0)), 0);
  report.add('isolation', `${figure}.elections`, elections, 'count');
  report.add('isolation', `${figure}.p50`, percentile(latencies, 0.5), 'ms');
  report.add('isolation', `${figure}.p99`, percentile(latencies, 0.99), 'ms');
  report.add('isolation', `${figure}.max`, percentile(latencies, 1), 'ms');
  report.add('isolation', `${figure}.failedPublishes`, failed, 'count');
  report.add('isolation', `${figure}.lost`, missing + twice, 'count');
  if (stalled !== null) report.add('isolation', `${figure}.stall`, await stalled, 'ms');
}

/** The longest time within `ms` milliseconds in which the member applied nothing. */
async function longestStall(member: Member, ms: number): Promise<number> {
  const until = performance.now() + ms;
  let applied = -1n;
  let since = performance.now();
  let longest = 0;
  while (performance.now() < until) {
    const { appliedIndex } = await member.call('status');
    const now = performance.now();
    longest = Math.max(longest, now - since);
    if (appliedIndex !== applied) since = now;
    applied = appliedIndex;
    await sleep(STALL_POLL_MS);
  }
  return longest;
}
