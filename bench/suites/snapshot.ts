import { Cluster } from '../cluster.js';
import type { Suite } from '../context.js';
import { median, percentile } from '../samples.js';

const RATE = 1000;
const EVENTS = 1_000_000;
const SESSIONS = 5000;
const QUICK_EVENTS = 200_000;
const QUICK_SESSIONS = 500;
const TIMEOUT_MS = 10_000;
/** No snapshot but those that are asked for. */
const NEVER = 1_000_000_000;

export const snapshot: Suite = {
  name: 'snapshot',
  summary: `${RATE} publishes a second while all members write snapshots of a large state, and while none does`,
  async run({ options, report, progress }) {
    const durationMs = options.quick ? 2000 : 6000;
    const figures = { with: { p50: [] as number[], p99: [] as number[] }, without: { p50: [] as number[], p99: [] as number[] } };
    const took: number[] = [];
    const bytes: number[] = [];
    await Cluster.with(
      options.directory,
      async (cluster) => {
        progress('  growing the state');
        const { leader } = await cluster.roles();
        await leader.call('grow', options.quick ? { events: QUICK_EVENTS, sessions: QUICK_SESSIONS } : { events: EVENTS, sessions: SESSIONS });
        await cluster.equal();
        for (let round = 1; round <= options.rounds; round++) {
          for (const window of round % 2 === 1 ? (['without', 'with'] as const) : (['with', 'without'] as const)) {
            progress(`  round ${round} of ${options.rounds}: ${window} a snapshot being written`);
            await leader.call('oneByOne', { level: 'linearizable', warmupMs: 0, durationMs: 500 });
            await leader.call('startLoop', { ratePerSecond: RATE, batch: 1, durationMs, timeoutMs: TIMEOUT_MS });
            const until = performance.now() + durationMs;
            // One after the other on every member, so that there is no moment without.
            const writing = cluster.members.map(async (member) => {
              while (window === 'with' && performance.now() < until) {
                const began = performance.now();
                bytes.push(await member.call('snapshot'));
                took.push(performance.now() - began);
              }
            });
            const { intendedMs, endedMs, failed, firstError } = await leader.call('joinLoop');
            await Promise.all(writing);
            if (failed > 0) throw new Error(`${failed} publishes failed, the first with ${firstError}`);
            const latencies = endedMs.map((ended, index) => ended - intendedMs[index]!);
            figures[window].p50.push(percentile(latencies, 0.5));
            figures[window].p99.push(percentile(latencies, 0.99));
          }
        }
      },
      { raft: { snapshotThresholdEntries: NEVER } },
    );
    report.add('snapshot', 'snapshot.bytes', median(bytes), 'bytes');
    report.add('snapshot', 'snapshot.write', median(took), 'ms');
    report.add('snapshot', 'snapshot.written', took.length, 'count');
    for (const [window, { p50, p99 }] of Object.entries(figures)) {
      report.addRounds('snapshot', `snapshot.${window}.p50`, p50, 'ms');
      report.addRounds('snapshot', `snapshot.${window}.p99`, p99, 'ms');
    }
    report.add('snapshot', 'snapshot.p99Ratio', median(figures.with.p99) / median(figures.without.p99), 'ratio');
  },
};
