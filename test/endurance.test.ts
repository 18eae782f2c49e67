/** The endurance runs at the size of a test; `npm run endurance` has them at their full size. */
import test from 'ava';
import { room } from './helpers/cluster.js';
import { parseOptions } from './endurance/options.js';
import { RUNS } from './endurance/runs.js';

/** A seed that failed goes here, and stays. */
const SEEDS: Readonly<Record<string, readonly number[]>> = {};
const today = (): number => Math.floor(Date.now() / 86_400_000);

for (const run of RUNS) {
  // A new plan every day; the seed is in the log of a test that fails.
  for (const seed of [today(), ...(SEEDS[run.name] ?? [])]) {
    test.serial(`${run.name}, at the size of a test, seed ${seed}`, async (t) => {
      t.timeout(300_000);
      const reason = run.missing?.() ?? null;
      if (reason !== null) {
        t.log(`skipped: ${reason}`);
        t.pass();
        return;
      }
      const context = { seed, directory: room(t), progress: (line: string) => t.log(line), teardown: t.teardown };
      const figures = await run.run(context, { quick: true });
      t.log(figures);
      t.pass();
    });
  }
}

test('a command line that cannot be meant is refused with a sentence', (t) => {
  t.throws(() => parseOptions([]), { message: /^Name a run: / });
  t.throws(() => parseOptions(['kill']), { message: /^There is no run "kill"/ });
  t.throws(() => parseOptions(['kills', '--rounds', '0']), { message: /^--rounds 0 is not allowed/ });
  t.throws(() => parseOptions(['kills', '--seed', '-1']));
  t.throws(() => parseOptions(['kills', '--fast']));
  t.deepEqual(parseOptions(['cut', 'kills', '--rounds', '7', '--seed', '5']).runs.map(({ name }) => name), ['kills', 'cut']);
  t.deepEqual(parseOptions(['all']).runs, RUNS);
});
