import { Coordinator } from '@vexfs/coordinator';

// Three members in one process, to try it out. In earnest each is in a process of its own, and starts itself only.
const peers = { a: '127.0.0.1:7400', b: '127.0.0.1:7410', c: '127.0.0.1:7420' };
const log = { segmentBytes: 4 * 1024 * 1024 };
const start = (nodeId) => Coordinator.start({ nodeId, dataDir: `data/${nodeId}`, listen: peers[nodeId], peers, log });
const [a, b, c] = await Promise.all(Object.keys(peers).map(start));

const session = a.session(); // what goes through it keeps its order
await session.publish({ type: 'FilesystemMkdir', path: '/notes' }, { consistency: 'sequential' });
const receipt = await session.publish({ type: 'FilesystemWrite', path: '/notes/today', payload: Buffer.from('hello') });
console.log(`${receipt.level} at index ${receipt.index}, on ${receipt.durableMembers} disks`);

await b.readBarrier(); // b has now applied everything that was committed before this call
for await (const { event, cursor } of b.subscribe({ from: 'first', where: { path: ['/notes', '/notes/**'] } })) {
  console.log(`${event.type} ${event.path}, ${event.payload.length} bytes`);
  if (cursor === receipt.cursor) break;
}
console.log((await c.outcome(receipt.eventId)).state);
await Promise.all([a, b, c].map((node) => node.close()));
