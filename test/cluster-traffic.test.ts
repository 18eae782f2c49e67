/** What a node tells of the traffic between it and each other member. */
import test from 'ava';
import { ApiClient, ApiServer, type LinkStatus, type MemberStatus, type MemberTraffic } from '../dist/index.js';
import { Embedded, fileWrite, until } from './helpers/cluster.js';
import { ProcessCluster } from './helpers/node-process.js';

type Told = Pick<MemberStatus, 'id' | 'traffic'>;
function trafficOf(members: readonly Told[], id: string): MemberTraffic {
  const traffic = members.find((member) => member.id === id)?.traffic;
  if (traffic == null) throw new Error(`nothing is told of ${id}`);
  return traffic;
}
const linkOf = ({ links }: MemberTraffic, channel: LinkStatus['channel']): LinkStatus => links.find((link) => link.channel === channel) as LinkStatus;

test.serial('what is sent and received is counted by member and channel, and how long it takes is measured; the API tells the same', async (t) => {
  const cluster = await Embedded.start(t);
  const [a, b] = [cluster.get('a'), cluster.get('b')];
  const members = () => a.status().members;
  t.is(members().find(({ id }) => id === 'a')?.traffic, null);
  await until('answers of both on both channels', () => ['b', 'c'].every((id) => trafficOf(members(), id).links.every(({ roundTrip }) => roundTrip !== null)));
  const before = trafficOf(members(), 'b');
  const payload = 40_000;
  for (let count = 0; count < 5; count++) await b.publish(fileWrite('/large', payload));
  await until('them to be here', () => a.status().appliedIndex === b.status().appliedIndex);
  const sum = ({ links }: MemberTraffic) => links.reduce((all, { sentBytes }) => all + sentBytes, 0);
  // To whoever leads, and from there to the others: one of the ways between the two has had all of it.
  const moved = Math.max(sum(trafficOf(members(), 'b')) - sum(before), trafficOf(members(), 'b').receivedBytes - before.receivedBytes, trafficOf(members(), 'c').receivedBytes);
  t.true(moved > 5 * payload, `${moved} bytes`);
  for (const channel of ['urgent', 'bulk'] as const) {
    const link = linkOf(trafficOf(members(), 'b'), channel);
    t.like(link, { up: true, connections: 1 });
    // The first ones may have been for a link that was not there yet.
    t.is(link.droppedFrames, linkOf(before, channel).droppedFrames);
    t.true(link.sentFrames >= link.sentBatches && link.sentBatches > 0 && link.sentBytes >= link.sentFrames * 16);
    const { leastUs, p50Us, p99Us, smoothedUs, deviationUs, clockOffsetMs } = link.roundTrip ?? t.fail();
    t.true(0 < leastUs && leastUs <= p50Us && p50Us <= p99Us && smoothedUs >= leastUs && deviationUs >= 0 && Math.abs(clockOffsetMs) < 1_000, JSON.stringify(link.roundTrip));
  }
  const server = await ApiServer.start(a, { address: '127.0.0.1:0' });
  t.teardown(() => server.close());
  const client = new ApiClient(server.address);
  t.teardown(() => client.close());
  const told = await client.status();
  t.is(told.members.find(({ id }) => id === 'a')?.traffic, null);
  const here = linkOf(trafficOf(members(), 'c'), 'bulk');
  const there = linkOf(trafficOf(told.members, 'c'), 'bulk');
  t.deepEqual(Object.keys(there).sort(), Object.keys(here).sort());
  t.true(there.sentBytes > 0 && there.sentBytes <= here.sentBytes && (there.roundTrip?.answers ?? 0) > 0);
  await cluster.close('b');
  await until('both of its connections to be down', () => trafficOf(members(), 'b').links.every(({ up }) => !up));
  t.deepEqual(trafficOf(members(), 'b').links.map(({ roundTrip }) => roundTrip), [null, null]);
  await cluster.open('b');
  await until('new ones', () => trafficOf(members(), 'b').links.every(({ up, connections, roundTrip }) => up && connections === 2 && roundTrip !== null));
});

test.serial('a member that stands still is told by how long it has not answered', async (t) => {
  const cluster = await ProcessCluster.start(t);
  const leader = await cluster.leader();
  const [still] = await cluster.followers();
  if (still === undefined) throw new Error('there are followers');
  const link = async () => linkOf(trafficOf((await leader.status()).members, still.id), 'urgent');
  await until('an answer', async () => (await link()).roundTrip !== null);
  still.signal('SIGSTOP');
  await until('a question without one', async () => (await link()).unansweredUs > 1_000_000);
  still.signal('SIGCONT');
  await until('its answer', async () => ((await link()).roundTrip?.p99Us ?? 0) > 1_000_000);
  t.true((await link()).up, 'its connections stay');
  await cluster.stop();
});
