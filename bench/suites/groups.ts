import { Cluster } from '../cluster.js';
import type { Suite } from '../context.js';
import { median } from '../samples.js';

const GROUPS = 16;
const IN_FLIGHT = 64;
const BATCH = 256;

export const groups: Suite = {
  name: 'groups',
  summary: `events a second over ${GROUPS} groups and over one, the same number of batches in flight`,
  async run({ options, report, progress }) {
    const durationMs = options.quick ? 2000 : 6000;
    const warmupMs = options.quick ? 500 : 1500;
    const rates: Record<number, number[]> = { 1: [], [GROUPS]: [] };
    for (let round = 1; round <= options.rounds; round++) {
      // Turn about, who goes first too: noise of the machine comes and goes.
      for (const count of round % 2 === 1 ? [1, GROUPS] : [GROUPS, 1]) {
        progress(`  round ${round} of ${options.rounds}: ${count === 1 ? 'one group' : `${count} groups`}`);
        await Cluster.with(
          options.directory,
          async (cluster) => {
            const { leader } = await cluster.roles();
            await leader.call('leadAll');
            const result = await leader.call('inFlight', { inFlight: IN_FLIGHT, batch: BATCH, shape: 'plain', warmupMs, durationMs, groups: count });
            await cluster.equal();
            rates[count]?.push(result.events / (result.windowMs / 1000));
          },
          { groups: count },
        );
      }
    }
    const [one = [], many = []] = [rates[1], rates[GROUPS]];
    report.addRounds('groups', 'groups.one.rate', one, 'events/s');
    report.addRounds('groups', `groups.${GROUPS}.rate`, many, 'events/s');
    report.add('groups', 'groups.ratio', median(many) / median(one), 'ratio');
  },
};
