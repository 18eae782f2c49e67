import { Cluster } from '../cluster.js';
import type { Suite } from '../context.js';
import { percentile } from '../samples.js';

const RATE = 1000;
const TIMEOUT_MS = 10_000;

export const openLoop: Suite = {
  name: 'openloop',
  summary: `${RATE} publishes a second at set times; latency counts from the intended time`,
  async run({ options, report, progress }) {
    const durationMs = options.quick ? 4000 : 20_000;
    const rounds = Math.ceil(options.rounds / 2);
    for (const at of ['leader', 'follower'] as const) {
      const figures: Record<'p50' | 'p99' | 'p999', number[]> = { p50: [], p99: [], p999: [] };
      await Cluster.with(options.directory, async (cluster) => {
        for (let round = 1; round <= rounds; round++) {
          progress(`  round ${round} of ${rounds}: at ${at === 'leader' ? 'the leader' : 'a follower'}`);
          const { leader, followers } = await cluster.roles();
          const publisher = at === 'leader' ? leader : followers[0];
          await publisher.call('oneByOne', { level: 'linearizable', warmupMs: 0, durationMs: 500 });
          await publisher.call('startLoop', { ratePerSecond: RATE, batch: 1, durationMs, timeoutMs: TIMEOUT_MS });
          const { intendedMs, endedMs, failed, firstError } = await publisher.call('joinLoop');
          if (failed > 0) throw new Error(`${failed} publishes failed, the first with ${firstError}`);
          const latencies = endedMs.map((ended, index) => ended - intendedMs[index]!);
          figures.p50.push(percentile(latencies, 0.5));
          figures.p99.push(percentile(latencies, 0.99));
          figures.p999.push(percentile(latencies, 0.999));
        }
      });
      const prefix = `openloop.${RATE}${at === 'leader' ? '' : '.follower'}`;
      for (const [name, values] of Object.entries(figures)) report.addRounds('openloop', `${prefix}.${name}`, values, 'ms');
    }
  },
};
