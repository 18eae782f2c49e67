import { Cluster, until } from '../cluster.js';
import type { Suite } from '../context.js';
import { Floor } from '../floor.js';
import type { CrdtState } from '../node/commands.js';
import { percentile } from '../samples.js';

/** Voters are seven at most. */
const FOUNDERS = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
const LEARNERS = ['h', 'i', 'j'];
const TYPES = ['g-counter', 'pn-counter', 'lww-register', 'mv-register', 'or-set', 'two-phase-set', 'map'] as const;
/** Writes to one object, by five nodes together. */
const OPERATIONS = 1000;
const AGREE_MS = 30_000;
const RATE = 10_000;
const BATCH = 20;

export const causal: Suite = {
  name: 'causal',
  summary: `publishes of the causal lane one at a time, ${RATE} events a second at ten nodes at once, and the catching up of one that was cut off`,
  async run({ options, report, progress }) {
    const warmupMs = options.quick ? 300 : 1000;
    const durationMs = options.quick ? 1000 : 3000;
    const warmLoadMs = options.quick ? 1000 : 5000;
    const loadMs = options.quick ? 3000 : 10_000;
    const awayMs = options.quick ? 6000 : 60_000;
    const probe = await Floor.open(options.directory, options.quick ? 60 : 200);
    const one: Record<'p50' | 'p99' | 'fdatasync' | 'ratio', number[]> = { p50: [], p99: [], fdatasync: [], ratio: [] };
    try {
      await Cluster.with(options.directory, async (cluster) => {
        for (let round = 1; round <= options.rounds; round++) {
          progress(`  round ${round} of ${options.rounds}: one at a time`);
          const { append } = await probe.measure();
          const { latenciesMs } = await cluster.members[0]!.call('oneByOne', { level: 'causal', warmupMs, durationMs });
          const p50 = percentile(latenciesMs, 0.5);
          one.p50.push(p50);
          one.p99.push(percentile(latenciesMs, 0.99));
          one.fdatasync.push(append);
          one.ratio.push(p50 / append);
        }
      });
    } finally {
      await probe.close();
    }
    report.addRounds('causal', 'causal.one.p50', one.p50, 'ms');
    report.addRounds('causal', 'causal.one.p99', one.p99, 'ms');
    report.addRounds('causal', 'causal.one.fdatasync', one.fdatasync, 'ms');
    report.addRounds('causal', 'causal.one.ratio', one.ratio, 'ratio');

    const ten: Record<'publish' | 'p50' | 'p99', number[]> = { publish: [], p50: [], p99: [] };
    for (let round = 1; round <= Math.ceil(options.rounds / 2); round++) {
      progress(`  round ${round} of ${Math.ceil(options.rounds / 2)}: ten nodes`);
      await Cluster.with(
        options.directory,
        async ({ members }) => {
          const load = async (durationMs: number) => {
            const published = await Promise.all(members.map((member) => member.call('publishCausal', { ratePerSecond: RATE / members.length, batch: BATCH, durationMs })));
            return { published, events: published.reduce((sum, result) => sum + result.events, 0) };
          };
          await Promise.all(members.map((member) => member.call('followCausal')));
          // Ten processes compile what they run at the same time.
          const { events: before } = await load(warmLoadMs);
          await Promise.all(members.map((member) => member.call('followedCausal', { events: before })));
          const { published, events } = await load(loadMs);
          const followed = await Promise.all(members.map((member) => member.call('followedCausal', { events: before + events })));
          if (followed.some((result) => result.events !== before + events)) throw new Error(`a node has delivered other than the ${before + events} events that were published`);
          const latencies = Float64Array.from(followed.flatMap(({ latenciesMs }) => [...latenciesMs.subarray(before)]));
          ten.publish.push(percentile(Float64Array.from(published.flatMap(({ latenciesMs }) => [...latenciesMs])), 0.99));
          ten.p50.push(percentile(latencies, 0.5));
          ten.p99.push(percentile(latencies, 0.99));
        },
        { ids: FOUNDERS, learners: LEARNERS },
      );
    }
    report.addRounds('causal', 'causal.ten.publish.p99', ten.publish, 'ms');
    report.addRounds('causal', 'causal.ten.delivery.p50', ten.p50, 'ms');
    report.addRounds('causal', 'causal.ten.delivery.p99', ten.p99, 'ms');

    await Cluster.with(
      options.directory,
      async ({ members }) => {
        for (const type of TYPES) {
          progress(`  five nodes: ${type}`);
          const after: number[] = [];
          for (let round = 1; round <= options.rounds; round++) {
            await Promise.all(members.map((member) => member.call('openCrdt', type)));
            const last = Math.max(...(await Promise.all(members.map((member) => member.call('writeCrdt', { operations: OPERATIONS / members.length })))));
            let states: CrdtState[] = [];
            await until(`have the same ${type}`, AGREE_MS, async () => {
              states = await Promise.all(members.map((member) => member.call('crdtState')));
              return states.every(({ state }) => state === states[0]!.state);
            });
            after.push(Math.max(0, ...states.map(({ lastChangeMs }) => lastChangeMs - last)));
          }
          report.addRounds('causal', `causal.five.${type}.equal`, after, 'ms');
        }
      },
      { ids: FOUNDERS.slice(0, 5) },
    );

    const rates: number[] = [];
    for (let round = 1; round <= Math.ceil(options.rounds / 2); round++) {
      progress(`  round ${round} of ${Math.ceil(options.rounds / 2)}: one cut off for ${awayMs / 1000} s`);
      await Cluster.with(options.directory, async (cluster) => {
        const [, , away] = cluster.members;
        await away!.close();
        const publishers = cluster.members.filter((member) => member !== away);
        const published = await Promise.all(publishers.map((member) => member.call('publishCausal', { ratePerSecond: RATE / publishers.length, batch: BATCH, durationMs: awayMs })));
        const events = published.reduce((sum, result) => sum + result.events, 0);
        const back = await cluster.start(away!.id);
        const began = performance.now();
        await back.call('followCausal');
        await back.call('followedCausal', { events });
        rates.push(events / ((performance.now() - began) / 1000));
      });
    }
    report.addRounds('causal', 'causal.catchup.rate', rates, 'events/s');
  },
};
