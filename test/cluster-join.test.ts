/** How members find each other whose settings do not name each other (docs/network.md, "Who is dialled, and where"). */
import test, { type ExecutionContext } from 'ava';
import type { CoordinatorConfig } from '../dist/index.js';
import { Coordinator } from '../dist/index.js';
import { Embedded, fileWrite, persist, startWhenFree, until } from './helpers/cluster.js';

const FOUNDERS = ['a', 'b', 'c'];

/** Starts a member whose settings name these others alone. */
async function serve(cluster: Embedded, id: string, peers: readonly string[], more: Partial<CoordinatorConfig> = {}): Promise<Coordinator> {
  const { plan } = cluster;
  const config = { ...plan.config(id), peers: Object.fromEntries(peers.map((peer) => [peer, plan.address(peer)])), ...more };
  await startWhenFree(async () => {
    cluster.nodes.set(id, await Coordinator.start(config));
  });
  return cluster.get(id);
}

const join = async (t: ExecutionContext, leader: string): Promise<Embedded> => {
  const cluster = await Embedded.start(t, {}, FOUNDERS, ['d']);
  const a = cluster.get('a');
  await a.members.transferLeadership(leader);
  const d = await serve(cluster, 'd', ['a'], { join: true });
  await a.members.add('d', cluster.plan.address('d'));
  await persist('the promotion', () => a.members.promote('d'));
  await until('all to be connected', () => [...cluster.nodes.values()].every((node) => node.status().members.every(({ health }) => health === 'ok')));
  t.is(d.status().members.length, 4);
  return cluster;
};

for (const leader of ['a', 'b']) {
  test.serial(`a node that joins knows one member, while ${leader} leads; the others go on with it when that one is gone`, async (t) => {
    const cluster = await join(t, leader);
    await cluster.close('a');
    await cluster.leader();
    await cluster.get('d').publish(fileWrite('/without-a'));
    // As after a restart of everybody: nobody remembers what was said.
    await cluster.close('b', 'c', 'd');
    await cluster.open('b', 'c');
    await serve(cluster, 'd', ['a'], { join: true });
    await cluster.leader();
    for (const node of cluster.nodes.values()) await node.publish(fileWrite('/again'));
    await cluster.equal();
  });
}

test.serial('a member may have the name of what every object has', async (t) => {
  const cluster = await Embedded.start(t, {}, ['a'], ['constructor']);
  const [a, address] = [cluster.get('a'), cluster.plan.address('constructor')];
  await serve(cluster, 'constructor', ['a'], { join: true });
  await a.members.add('constructor', address);
  await persist('the promotion', () => a.members.promote('constructor'));
  t.deepEqual(a.members.list().map(({ id, address: at, role }) => [id, at, role]), [['a', cluster.plan.address('a'), 'voter'], ['constructor', address, 'voter']]);
});

for (const [how, named] of [
  ['is found by those who took their places', ['a', 'b']],
  ['finds all of those who took their places by one of them', ['e']],
] as const) {
  test.serial(`a member that was away while the others were replaced ${how}`, async (t) => {
    const cluster = await Embedded.start(t, {}, ['a', 'b', 'd'], ['e', 'f']);
    await cluster.close('d');
    for (const [old, id, peers] of [['a', 'e', ['a', 'b']], ['b', 'f', ['b', 'e']]] as const) {
      await serve(cluster, id, peers, { join: true });
      await persist('the learner', () => cluster.get('b').members.add(id, cluster.plan.address(id)));
      const operator = cluster.get(id === 'e' ? 'b' : 'e');
      await persist('the replacement', () => operator.members.replace(old, id));
      await until(`${old} to be told`, () => cluster.get(old).status().role === 'removed');
      await cluster.close(old);
    }
    await cluster.leader();
    const receipt = await cluster.get('e').publish(fileWrite('/while-away'));
    await cluster.get('e').members.transferLeadership('f');
    // What e and f were told of d is forgotten in one of the two.
    if (named[0] === 'e') {
      await cluster.close('e');
      await serve(cluster, 'e', ['b', 'f'], { join: true });
    }
    // Its table knows neither of them.
    const d = await serve(cluster, 'd', named);
    await until('d to follow', () => d.status().leader !== null && d.status().appliedIndex >= receipt.index);
    await until('all to be connected', () => [...cluster.nodes.values()].every((node) => node.status().members.every(({ role, health }) => role === 'removed' || health === 'ok')));
    await cluster.close('f');
    await cluster.leader();
    t.is((await d.publish(fileWrite('/two-of-three'))).durableMembers, 2);
  });
}
