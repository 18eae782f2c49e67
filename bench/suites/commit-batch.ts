import { join } from 'node:path';
import { Cluster, sleep } from '../cluster.js';
import type { Context, Suite } from '../context.js';
import type { EventShape } from '../node/commands.js';
import { percentile } from '../samples.js';

interface Variant {
  readonly figure: string;
  readonly what: string;
  readonly inFlight: number;
  readonly batch: number;
  readonly shape: EventShape;
  readonly at: 'leader' | 'follower';
}

const VARIANTS: readonly Variant[] = [
  { figure: 'commit.batch256', what: '64 batches of 256 in flight at the leader', inFlight: 64, batch: 256, shape: 'plain', at: 'leader' },
  { figure: 'commit.batch256.full', what: 'the same with every field of an event given, ids included', inFlight: 64, batch: 256, shape: 'full', at: 'leader' },
  { figure: 'commit.batch256.follower', what: '64 batches of 256 in flight at a follower', inFlight: 64, batch: 256, shape: 'plain', at: 'follower' },
  { figure: 'commit.single1000', what: '1,000 single publishes in flight at the leader', inFlight: 1000, batch: 1, shape: 'plain', at: 'leader' },
];

const PAYLOAD_BYTES = 256;

export const commitBatch: Suite = {
  name: 'commit.batch256',
  summary: 'acknowledged events a second with many in flight, and the processor time they cost',
  async run(context) {
    for (const variant of VARIANTS) await measure(context, variant);
  },
};

/** Each round has a cluster of its own: what one wrote must not weigh on the next. */
async function measure({ options, report, progress }: Context, variant: Variant): Promise<void> {
  const { figure, inFlight, batch, shape } = variant;
  // Ten seconds are more than the log's spare segments hide.
  const durationMs = options.quick ? 3000 : 10_000;
  const warmupMs = options.quick ? 500 : 1500;
  const rounds = Math.ceil(options.rounds / 2);
  const rate: number[] = [];
  const p99: number[] = [];
  const cpu: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    progress(`  round ${round} of ${rounds}: ${variant.what}`);
    await Cluster.with(options.directory, async (cluster) => {
      const { leader, followers } = await cluster.roles();
      const publisher = variant.at === 'leader' ? leader : followers[0];
      const profiled = options.profile !== null && round === 1;
      const before = await cluster.cpuUs();
      if (profiled) await publisher.call('startProfile');
      const result = await publisher.call('inFlight', { inFlight, batch, shape, warmupMs, durationMs });
      if (profiled) await publisher.call('stopProfile', join(options.profile!, `${figure}.cpuprofile`));
      // What followers still apply and write belongs to the events too.
      await cluster.equal();
      await sleep(100);
      cpu.push(((await cluster.cpuUs()) - before) / result.total);
      rate.push(result.events / (result.windowMs / 1000));
      p99.push(percentile(result.latenciesMs, 0.99));
    });
  }
  report.addRounds('commit.batch256', `${figure}.rate`, rate, 'events/s');
  report.addRounds('commit.batch256', `${figure}.payloadRate`, rate.map((events) => events * PAYLOAD_BYTES), 'bytes/s');
  report.addRounds('commit.batch256', `${figure}.cpuPerEvent`, cpu, 'us');
  report.addRounds('commit.batch256', `${figure}.p99`, p99, 'ms');
}
