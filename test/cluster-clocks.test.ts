/** A member whose clock on the wall is wrong. */
import test, { type ExecutionContext } from 'ava';
import { LIMITS } from '../dist/index.js';
import { fileWrite, Plan, room, until } from './helpers/cluster.js';
import { NodeProcess } from './helpers/node-process.js';
import { type ShiftedClock, shiftedClocks } from './support/clock/shifted.js';

const HOUR_MS = 3_600_000;
const wallOf = (hlc: bigint): number => Number(hlc >> 16n);

interface Clocked {
  readonly node: NodeProcess;
  readonly clock: ShiftedClock;
}

/** Three members with clocks of their own; null where a clock cannot be shifted, which is said. */
async function clocked(t: ExecutionContext): Promise<readonly [Clocked, Clocked, Clocked] | null> {
  const clocks = shiftedClocks(room(t));
  if ('reason' in clocks) {
    t.log(`skipped: ${clocks.reason}`);
    t.pass();
    return null;
  }
  const plan = await Plan.of(t);
  const members = plan.ids.map((id) => {
    const clock = clocks.clock(id);
    const node = new NodeProcess(id, plan.config(id), clock.within);
    t.teardown(() => node.kill());
    return { node, clock };
  });
  await Promise.all(members.map(({ node }) => node.start()));
  return members as unknown as readonly [Clocked, Clocked, Clocked];
}

const aheadOf = async ({ node }: Clocked): Promise<boolean> => (await node.status()).health.reasons.some((reason) => reason.startsWith('CLOCK_AHEAD: '));
const offsets = async ({ node }: Clocked): Promise<number[]> => (await node.status()).members.flatMap(({ traffic }) => traffic?.links.flatMap(({ roundTrip }) => (roundTrip === null ? [] : [roundTrip.clockOffsetMs])) ?? []);

test.serial('a member whose clock is far ahead takes no events before they follow it, and says why; the others go on', async (t) => {
  const members = await clocked(t);
  if (members === null) return;
  const [a, b, c] = members;
  await until('all to have heard each other', async () => (await Promise.all(members.map(offsets))).every((told) => told.length === 4 && told.every((ms) => Math.abs(ms) < 1_000)));
  t.true(wallOf((await a.node.publish(fileWrite('/before'))).hlc) < Date.now() + 1_000);
  const moved = Date.now();
  a.clock.shift(HOUR_MS);
  await until('it to be noticed', () => aheadOf(a));
  for (const consistency of ['causal', 'linearizable'] as const) {
    const refused = await t.throwsAsync(a.node.publish(fileWrite('/wrong'), { consistency }), { message: /^CLOCK_AHEAD: .*more than 60 s ahead of most other members/ });
    t.is((refused as Error & { committed?: string }).committed, 'no');
  }
  t.true((await offsets(a)).every((ms) => Math.abs(ms + HOUR_MS) < 1_000), JSON.stringify(await offsets(a)));
  // Its own is wrong, and nobody else's.
  for (const other of [b, c]) {
    t.false(await aheadOf(other));
    const { hlc } = await other.node.publish(fileWrite('/right'), { consistency: 'causal' });
    t.true(wallOf(hlc) < moved + HOUR_MS / 2, 'no clock follows the wrong one');
  }
  a.clock.shift(0);
  await until('it to be right again', async () => !(await aheadOf(a)));
  const { hlc } = await a.node.publish(fileWrite('/after'), { consistency: 'causal' });
  t.true(wallOf(hlc) < moved + HOUR_MS / 2);
});

test.serial('a clock that is behind, and one that is a little ahead, are taken', async (t) => {
  const members = await clocked(t);
  if (members === null) return;
  const [a, b, c] = members;
  b.clock.shift(-HOUR_MS);
  c.clock.shift(LIMITS.clockAheadMsMax - 10_000);
  await until('both to be known', async () => {
    const told = await offsets(a);
    return told.some((ms) => ms < 1_000 - HOUR_MS) && told.some((ms) => ms > LIMITS.clockAheadMsMax - 11_000);
  });
  for (const member of members) {
    t.false(await aheadOf(member), member.node.id);
    await member.node.publish(fileWrite(`/${member.node.id}`), { consistency: 'causal' });
    await member.node.publish(fileWrite(`/${member.node.id}/ordered`));
  }
});
