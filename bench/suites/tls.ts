import { Cluster } from '../cluster.js';
import type { Context, Suite } from '../context.js';
import { percentile } from '../samples.js';

const IN_FLIGHT = 64;
const BATCH = 256;

interface Round {
  /** Acknowledged events a second. */
  readonly rate: number;
  /** Of one publish at a time, in ms. */
  readonly p50: number;
  readonly p99: number;
}

export const tls: Suite = {
  name: 'tls',
  summary: 'members over mutual TLS beside members in plain text, round by round',
  async run(context) {
    const { options, report } = context;
    const [plain, secured]: [Round[], Round[]] = [[], []];
    for (let round = 1; round <= options.rounds; round++) {
      // Not always the same first: what one has written may still be on its way to the disk.
      const order = round % 2 === 1 ? [false, true] : [true, false];
      for (const secure of order) (secure ? secured : plain).push(await measure(context, secure, round));
    }
    for (const [name, rounds] of [['plain', plain], ['mutual', secured]] as const) {
      report.addRounds('tls', `tls.${name}.batch256.rate`, rounds.map(({ rate }) => rate), 'events/s');
      report.addRounds('tls', `tls.${name}.one.p50`, rounds.map(({ p50 }) => p50), 'ms');
      report.addRounds('tls', `tls.${name}.one.p99`, rounds.map(({ p99 }) => p99), 'ms');
    }
    report.addRounds('tls', 'tls.batch256.rateRatio', secured.map(({ rate }, at) => rate / plain[at]!.rate), 'ratio');
    report.addRounds('tls', 'tls.one.p50Ratio', secured.map(({ p50 }, at) => p50 / plain[at]!.p50), 'ratio');
  },
};

async function measure({ options, progress }: Context, secure: boolean, round: number): Promise<Round> {
  progress(`  round ${round} of ${options.rounds}: ${secure ? 'mutual TLS' : 'plain text'}`);
  const [warmupMs, durationMs] = options.quick ? [300, 1500] : [1000, 5000];
  return Cluster.with(
    options.directory,
    async (cluster) => {
      const { leader } = await cluster.roles();
      const one = await leader.call('oneByOne', { level: 'linearizable', warmupMs, durationMs });
      const batches = await leader.call('inFlight', { inFlight: IN_FLIGHT, batch: BATCH, shape: 'plain', warmupMs, durationMs });
      return { rate: batches.events / (batches.windowMs / 1000), p50: percentile(one.latenciesMs, 0.5), p99: percentile(one.latenciesMs, 0.99) };
    },
    { secure },
  );
}
