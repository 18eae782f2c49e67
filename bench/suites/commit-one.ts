import { join } from 'node:path';
import type { Level } from '../../dist/index.js';
import { Cluster } from '../cluster.js';
import type { Suite } from '../context.js';
import { Floor } from '../floor.js';
import type { Member } from '../member.js';
import type { Unit } from '../report.js';
import { percentile } from '../samples.js';

interface Variant {
  /** Prefix of its figures. */
  readonly figure: string;
  readonly what: string;
  readonly level: Level;
  readonly member: (leader: Member, follower: Member) => Member;
}

const VARIANTS: readonly Variant[] = [
  { figure: 'commit.one', what: 'linearizable, at the leader', level: 'linearizable', member: (leader) => leader },
  { figure: 'commit.one.sequential', what: 'sequential, at the leader', level: 'sequential', member: (leader) => leader },
  { figure: 'commit.one.strong', what: 'strong, at the leader', level: 'strong', member: (leader) => leader },
  { figure: 'commit.one.follower', what: 'linearizable, at a follower', level: 'linearizable', member: (_, follower) => follower },
];

export const commitOne: Suite = {
  name: 'commit.one',
  summary: 'one publish at a time, and its ratio to the floor measured between the rounds',
  async run({ options, report, progress }) {
    const warmupMs = options.quick ? 300 : 1000;
    const durationMs = options.quick ? 1000 : 3000;
    const probe = await Floor.open(options.directory, options.quick ? 60 : 200);
    const rounds = new Map<string, number[]>();
    const note = (figure: string, value: number) => rounds.set(figure, [...(rounds.get(figure) ?? []), value]);
    try {
      await Cluster.with(options.directory, async (cluster) => {
        for (let round = 1; round <= options.rounds; round++) {
          for (const { figure, what, level, member } of VARIANTS) {
            progress(`  round ${round} of ${options.rounds}: ${what}`);
            const { leader, followers } = await cluster.roles();
            const publisher = member(leader, followers[0]);
            // Noise of the machine comes and goes: floor and commit are compared within a round.
            const floor = figure === 'commit.one' ? await probe.measure() : null;
            const profiled = options.profile !== null && floor !== null && round === 1;
            if (profiled) await publisher.call('startProfile');
            const cpuBefore = await cluster.cpuUs();
            const { total, latenciesMs } = await publisher.call('oneByOne', { level, warmupMs, durationMs });
            const cpuUs = (await cluster.cpuUs()) - cpuBefore;
            if (profiled) await publisher.call('stopProfile', join(options.profile!, 'commit.one.cpuprofile'));
            const p50 = percentile(latenciesMs, 0.5);
            note(`${figure}.p50`, p50);
            note(`${figure}.p99`, percentile(latenciesMs, 0.99));
            if (floor !== null) {
              note(`${figure}.cpuPerCommit`, cpuUs / total);
              note(`${figure}.floor`, floor.append + floor.roundTrip);
              note(`${figure}.syncP50`, (await publisher.call('status')).syncP50Us / 1000);
              note(`${figure}.ratio`, p50 / (floor.append + floor.roundTrip));
            }
          }
        }
      });
    } finally {
      await probe.close();
    }
    for (const [figure, values] of rounds) report.addRounds('commit.one', figure, values, unitOf(figure));
  },
};

function unitOf(figure: string): Unit {
  if (figure.endsWith('.ratio')) return 'ratio';
  return figure.endsWith('.cpuPerCommit') ? 'us' : 'ms';
}
