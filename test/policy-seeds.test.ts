import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test from 'ava';
import { PLANTS } from './policy/node.js';
import { runPolicy } from './policy/run.js';

/** Seeds that are always the same, and new ones each day. */
const FIXED = 24;
const OF_THE_DAY = 8;
/** After which a planted mistake must have been seen; and from which on one is looked for that the first ones do not meet. */
const PLANT_SEEDS = 12;
const PLANT_FIRST: Readonly<Record<string, number>> = { 'earlier-lives-forgotten': 30 };

const today = Math.floor(Date.now() / 86_400_000);
const seeds = [...Array(FIXED).keys(), ...Array.from({ length: OF_THE_DAY }, (_, at) => today * 100 + at)];
const members = (seed: number): string[] => ['--members', String(seed % 3 === 0 ? 5 : 3)];

test.before('the simulator is built', async (t) => {
  t.timeout(600_000);
  // Not in this thread: the runner is told of the timeout above only once the thread is free.
  const builder = spawn(process.execPath, ['scripts/sim.mjs', '--list'], { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, SIM_PROFILE: 'dev' } });
  const [code] = (await once(builder, 'exit')) as [number | null];
  t.is(code, 0);
});

test.serial('the policy keeps its promises over simulated members, whatever the seed', async (t) => {
  t.timeout(600_000);
  const totals = { receipts: 0, duplicates: 0, lowered: 0, restarts: 0, virtualMs: 0 };
  const errors = new Map<string, number>();
  for (const seed of seeds) {
    const report = await runPolicy(seed, members(seed));
    t.deepEqual(report.violations, [], `seed ${seed}`);
    for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += report[key];
    for (const [key, count] of report.errors) errors.set(key, (errors.get(key) ?? 0) + count);
  }
  t.log(`${seeds.length} seeds, the day's from ${today * 100}: ${JSON.stringify(totals)} ${JSON.stringify(Object.fromEntries(errors))}`);
  // Seeds that meet nothing show nothing.
  t.true(totals.receipts > 1_000 && totals.duplicates > 0 && totals.lowered > seeds.length && totals.restarts > seeds.length);
  for (const seen of ['TIMEOUT/unknown', 'TIMEOUT/no', 'CLOSED/unknown', 'ABORTED/unknown', 'PATH_INVALID/no', 'QUORUM_LOST/no']) t.true(errors.has(seen), seen);
});

for (const plant of PLANTS) {
  test.serial(`a planted mistake is seen: ${plant}`, async (t) => {
    t.timeout(600_000);
    const first = PLANT_FIRST[plant] ?? 0;
    for (let seed = first; seed < first + PLANT_SEEDS; seed++) {
      const { violations } = await runPolicy(seed, members(seed), plant);
      if (violations.length > 0) {
        t.log(`after ${seed - first + 1} seeds: ${violations[0]}`);
        t.pass();
        return;
      }
    }
    t.fail(`not seen within ${PLANT_SEEDS} seeds`);
  });
}
