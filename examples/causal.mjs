import { Coordinator } from '@vexfs/coordinator';

const peers = { a: '127.0.0.1:7430', b: '127.0.0.1:7440', c: '127.0.0.1:7450' };
const log = { segmentBytes: 4 * 1024 * 1024 };
const start = (nodeId) => Coordinator.start({ nodeId, dataDir: `data/${nodeId}`, listen: peers[nodeId], peers, log });

// One of three: there is no quorum, and nobody to ask.
const a = await start('a');
const receipt = await a.publish({ type: 'FilesystemWrite', path: '/notes/today' }, { consistency: 'causal' });
console.log(`${receipt.level}, on ${receipt.durableMembers} disk`);
await a.crdt.set('tags').add('draft', 'idea'); // there at once; on disk here when it resolves

const b = await start('b');
await b.readBarrier({ after: receipt.cursor }); // what `a` has written has come
const answer = await b.publish({ type: 'FilesystemCreate', path: '/notes/answer' }, { consistency: 'causal' });
for await (const { event } of a.subscribe({ lane: 'causal', from: 'first' })) {
  console.log(event.type, event.path); // never the answer before what it answers
  if (event.id === answer.eventId) break;
}
console.log(b.crdt.set('tags').values());
await Promise.all([a.close(), b.close()]);
