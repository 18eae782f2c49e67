import { CrdtReplica } from '@vexfs/coordinator';

const [laptop, server] = ['laptop', 'server'].map((actor) => new CrdtReplica({ actor }));
laptop.set('tags').add('draft', 'idea');
server.map('owner').set('/notes/today', 'ada');
server.counter('views').increment(3);
laptop.map('scores', { of: 'pn-counter' }).at('ada').increment();

server.set('tags').onChange(({ keys }) => console.log('changed elsewhere:', keys.join(', ')));
for (const delta of laptop.takeDeltas()) server.merge(delta); // in any order, any number of times
for (const delta of server.takeDeltas()) laptop.merge(delta);
console.log(laptop.map('owner').get('/notes/today'), laptop.counter('views').value(), server.map('scores', { of: 'pn-counter' }).at('ada').value());
