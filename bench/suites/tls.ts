import { Cluster } from '../cluster.js';
import type { Context, Suite } from '../context.js';
import { median, percentile } from '../samples.js';

const IN_FLIGHT = 64;
const BATCH = 256;
const TURNS = 6;

interface Round {
  /** Acknowledged events a second. */
  readonly rate: number;
  /** Of one publish at a time, in ms. */
  readonly p50: number;
  readonly p99: number;
}

export const tls: Suite = {
  name: 'tls',
  summary: 'members over mutual TLS beside members in plain text, in turns',
  async run(context) {
    const { options, report } = context;
    const [plain, secured]: [Round[], Round[]] = [[], []];
    for (let round = 1; round <= options.rounds; round++) {
      // Both are open all the time: what the host does meanwhile happens to both.
      await Cluster.with(options.directory, (one) =>
        Cluster.with(
          options.directory,
          async (other) => {
            const [first, second] = await measure(context, round, one, other);
            plain.push(first);
            secured.push(second);
          },
          { secure: true },
        ),
      );
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

/** Several short turns of each, in an order that changes; medians. */
async function measure({ options, progress }: Context, round: number, plain: Cluster, secured: Cluster): Promise<[Round, Round]> {
  const publishers = [(await plain.roles()).leader, (await secured.roles()).leader] as const;
  const [warmupMs, durationMs] = options.quick ? [200, 500] : [500, 1500];
  const taken: [Round[], Round[]] = [[], []];
  for (let turn = 0; turn < TURNS; turn++) {
    progress(`  round ${round} of ${options.rounds}, turn ${turn + 1} of ${TURNS}`);
    for (const at of turn % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const one = await publishers[at].call('oneByOne', { level: 'linearizable', warmupMs, durationMs });
      const batches = await publishers[at].call('inFlight', { inFlight: IN_FLIGHT, batch: BATCH, shape: 'plain', warmupMs, durationMs });
      taken[at].push({ rate: batches.events / (batches.windowMs / 1000), p50: percentile(one.latenciesMs, 0.5), p99: percentile(one.latenciesMs, 0.99) });
    }
  }
  const medians = (rounds: readonly Round[]): Round => ({ rate: median(rounds.map(({ rate }) => rate)), p50: median(rounds.map(({ p50 }) => p50)), p99: median(rounds.map(({ p99 }) => p99)) });
  return [medians(taken[0]), medians(taken[1])];
}
