/** What levels go by that are chosen by how this node stands to the others. */
import test from 'ava';
import { Surroundings, type SurroundingsPorts } from '../dist/coordinator/surroundings.js';

test('a majority is linked while its connections are up and somebody leads it', (t) => {
  const up = new Set(['b', 'c']);
  let state: 'there' | 'unsure' | 'lost' = 'there';
  const members = ['a', 'b', 'c'].map((id) => ({ id, role: 'voter' }));
  const surroundings = new Surroundings({
    nodeId: 'a',
    roster: { members } as unknown as SurroundingsPorts['roster'],
    links: { health: (id) => (up.has(id) ? 'ok' : 'unreachable') },
    quorum: { state: () => state },
    causal: { gossipIntervalMs: 20, deliveryTimeoutMs: 100 },
    raft: { heartbeatIntervalMs: 50 },
  });
  t.deepEqual(surroundings.now(), { majorityLinked: true, spreadMs: 120, followMs: 100 });
  up.delete('c');
  t.true(surroundings.now().majorityLinked);
  // The connections of stopped processes stay up.
  for (state of ['unsure', 'lost'] as const) t.false(surroundings.now().majorityLinked, state);
  state = 'there';
  up.delete('b');
  t.false(surroundings.now().majorityLinked);
});
