import test from 'ava';
import { QuorumWatch } from '../dist/coordinator/quorum-watch.js';

test('a quorum counts as lost after two of the elections that are in use now', async (t) => {
  let nowMs = 0;
  let electionTimeoutMaxMs = 300;
  let led = true;
  const watch = new QuorumWatch({ monotonicMs: () => nowMs, leadershipOf: () => ({ led, electionTimeoutMaxMs }) });
  // What was seen is forgotten with the turn of the loop.
  const seen = async (atMs: number) => {
    nowMs = atMs;
    await Promise.resolve();
    return watch.state(0);
  };
  t.is(await seen(0), 'there');
  led = false;
  t.is(await seen(1_000), 'unsure');
  t.is(await seen(1_599), 'unsure');
  t.is(await seen(1_600), 'lost');
  // The members are farther apart than they were.
  electionTimeoutMaxMs = 2_400;
  t.is(await seen(1_700), 'unsure');
  t.is(await seen(5_800), 'lost');
  led = true;
  t.is(await seen(5_900), 'there');
});
