import test from 'ava';
import { Embedded, fileWrite, until } from './helpers/cluster.js';

const CONFIGURED: [number, number] = [150, 300];
/** A heartbeat, and three times what TCP waits at least before it sends again. */
const LEAST_MS = 50 + 3 * 200;
/** As long as nothing is measured. */
const UNKNOWN_MS = 1_740;

const timeoutsOf = (cluster: Embedded) => [...cluster.nodes.values()].flatMap((node) => node.status().groups.map(({ electionTimeoutMs }) => electionTimeoutMs));

test('far members wait for elections as long as they have measured', async (t) => {
  const cluster = await Embedded.start(t, { raft: { electionTimeoutMs: CONFIGURED }, network: { profile: 'wan' }, groups: 2 });
  await until('it is known that they are near', () => timeoutsOf(cluster).every(([least]) => least < 1_200));
  for (const [least, most] of timeoutsOf(cluster)) {
    t.true(least >= LEAST_MS && least < UNKNOWN_MS, `${least}`);
    t.is(most, 2 * least);
  }
  for (const node of cluster.nodes.values()) {
    t.deepEqual(node.status().network, { profile: 'wan' });
    t.truthy(await node.publish(fileWrite(`/${node.nodeId}`)));
  }
});

test('without it they wait as long as is configured', async (t) => {
  const cluster = await Embedded.start(t);
  for (const timeouts of timeoutsOf(cluster)) t.deepEqual(timeouts, [400, 800]);
  for (const node of cluster.nodes.values()) t.deepEqual(node.status().network, { profile: 'lan' });
});
