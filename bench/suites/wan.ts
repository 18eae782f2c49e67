import { FAR_IDS, FAR_SETTINGS, farLine } from '../../test/support/relay/regions.js';
import { Cluster, type Place } from '../cluster.js';
import type { Context, Suite } from '../context.js';
import { missing, onFarHosts } from '../hosts.js';
import type { Member } from '../member.js';
import { median, percentile } from '../samples.js';

/** The member that leads: in the region that most of the others are near to. */
const LEADER = 'a';
/** As far from it as any. */
const FAR = 'e';
const LOSS = 0.01;
/** Besides the leader, of five. */
const OTHERS_OF_MAJORITY = 2;

export const wan: Suite = {
  name: 'wan',
  summary: 'five nodes in three regions, 20, 80 and 150 ms apart: one publish at a time beside the round trip to the nearest majority',
  async run(context) {
    const reason = missing();
    if (reason !== null) {
      context.progress(`  skipped: ${reason}`);
      return;
    }
    await onFarHosts(FAR_IDS, farLine(), (far, places) =>
      Cluster.with(
        context.options.directory,
        async (cluster) => {
          const rounds = await measure(context, cluster, places);
          for (const [figure, values] of rounds) context.report.addRounds('wan', figure, values, figure.endsWith('.ratio') ? 'ratio' : 'ms');
          await far.change(farLine({ loss: LOSS }));
          await withLoss(context, cluster);
        },
        { ids: FAR_IDS, places, ...FAR_SETTINGS },
      ),
    );
  },
};

const times = (quick: boolean): { warmupMs: number; durationMs: number } => (quick ? { warmupMs: 500, durationMs: 2000 } : { warmupMs: 2000, durationMs: 10_000 });

async function measure({ options, progress }: Context, cluster: Cluster, places: ReadonlyMap<string, Place>): Promise<Map<string, number[]>> {
  const memberOf = (id: string): Member => cluster.members.find((member) => member.id === id)!;
  if ((await cluster.leader()).id !== LEADER) await memberOf(LEADER).call('leadAll');
  await cluster.leader();
  const echoes = await Promise.all(FAR_IDS.filter((id) => id !== LEADER).map(async (id) => {
    const { address } = places.get(id)!;
    return { host: address, port: await memberOf(id).call('echo', address) };
  }));
  const rounds = new Map<string, number[]>();
  const note = (figure: string, value: number) => rounds.set(figure, [...(rounds.get(figure) ?? []), value]);
  for (let round = 1; round <= options.rounds; round++) {
    progress(`  round ${round} of ${options.rounds}`);
    const trips: number[] = [];
    for (const echo of echoes) trips.push(median(await memberOf(LEADER).call('roundTrips', { ...echo, samples: options.quick ? 20 : 50 })));
    const majority = trips.sort((a, b) => a - b)[OTHERS_OF_MAJORITY - 1]!;
    const { latenciesMs } = await memberOf(LEADER).call('oneByOne', { level: 'linearizable', ...times(options.quick) });
    const p50 = percentile(latenciesMs, 0.5);
    note('wan.roundTrip.p50', majority);
    note('wan.one.p50', p50);
    note('wan.one.p99', percentile(latenciesMs, 0.99));
    note('wan.one.ratio', p50 / majority);
    const far = await memberOf(FAR).call('oneByOne', { level: 'linearizable', ...times(options.quick) });
    note('wan.far.p50', percentile(far.latenciesMs, 0.5));
  }
  return rounds;
}

/** The same while one packet in a hundred is lost. */
async function withLoss({ options, report, progress }: Context, cluster: Cluster): Promise<void> {
  progress('  one packet in a hundred is lost');
  const before = await cluster.elections();
  const { latenciesMs } = await (await cluster.leader()).call('oneByOne', { level: 'linearizable', ...times(options.quick) });
  report.add('wan', 'wan.loss.p50', percentile(latenciesMs, 0.5), 'ms');
  report.add('wan', 'wan.loss.p99', percentile(latenciesMs, 0.99), 'ms');
  report.add('wan', 'wan.loss.elections', (await cluster.elections()) - before, 'count');
}
