import test from 'ava';
import { Callers } from '../dist/coordinator/callers.js';
import type { NetworkEvent } from '../dist/network/index.js';

type Accepted = Extract<NetworkEvent, { type: 'accepted' }>;

let connections = 0;
const call = (peer: string, listen: string, more: Partial<Accepted> = {}): Accepted => ({
  type: 'accepted',
  protocol: 1,
  incarnation: 1n,
  connection: connections++,
  peer,
  channel: 0,
  remote: '127.0.0.1:1',
  listen,
  tableVersion: 1n,
  neighbours: [],
  ...more,
});
const end = ({ peer, connection, channel, remote }: Accepted): NetworkEvent => ({ type: 'closed', reason: '', peer, connection, channel, remote });
const word = (nodeId: string, address: string, tableVersion = 1n) => call('teller', '', { neighbours: [{ nodeId, address }], tableVersion });

test('what a dialler says of itself is kept, and goes before what others say', (t) => {
  const callers = new Callers(() => false);
  t.true(callers.take(word('d', 'elsewhere:7')));
  t.deepEqual(callers.addressOf('d'), { host: 'elsewhere', port: 7 });
  const first = call('d', '10.0.0.4:7400');
  t.true(callers.take(first));
  t.false(callers.take(call('d', '')), 'its second connection says nothing new');
  callers.take(word('d', 'elsewhere:8'));
  t.deepEqual(callers.addressOf('d'), { host: '10.0.0.4', port: 7400 });
  t.deepEqual(callers.connected().sort(), ['d', 'teller']);
  t.false(callers.take(end(first)), 'another connection is left');
});

test('a later word counts, but not against one that has proved right', (t) => {
  let up = false;
  const callers = new Callers(() => up);
  callers.take(word('d', 'one:1'));
  t.true(callers.take(word('d', 'two:2', 9n)));
  t.deepEqual([callers.toldOf(8n), callers.toldOf(9n)], [['d'], []]);
  up = true;
  callers.take(word('d', 'three:3'));
  t.deepEqual(callers.addressOf('d'), { host: 'two', port: 2 });
});

test('what is no address, or nobody’s in particular, is not taken', (t) => {
  const callers = new Callers(() => false);
  for (const text of ['', 'nonsense', '127.0.0.1', '127.0.0.1:0', '0.0.0.0:7400', '[::]:7400', '[0:0::0]:7400', 'a b:1', '127.0.0.1:65536', `${'x'.repeat(300)}:1`]) {
    callers.take(call('d', text));
    callers.take(word('e', text));
  }
  t.deepEqual([callers.addressOf('d'), callers.addressOf('e')], [null, null]);
});

test('of more than there is room for, those are forgotten that have gone, or of whom nobody has spoken for longest', (t) => {
  const callers = new Callers(() => false);
  const calls = Array.from({ length: 64 }, (_, at) => call(`m${at}`, `host:${at + 1}`));
  for (const one of calls) callers.take(one);
  t.false(callers.take(call('late', 'host:100')));
  t.is(callers.addressOf('late'), null);
  t.true(callers.take(end(calls[5] as Accepted)));
  t.true(callers.take(call('late', 'host:100')));
  t.deepEqual([callers.addressOf('late'), callers.addressOf('m5')], [{ host: 'host', port: 100 }, null]);
  t.is(callers.connected().length, 64);
  callers.take(call('m0', '', { neighbours: Array.from({ length: 70 }, (_, at) => ({ nodeId: `h${at}`, address: 'host:1' })), tableVersion: 2n }));
  t.deepEqual(callers.toldOf(1n), Array.from({ length: 64 }, (_, at) => `h${at + 6}`));
});

test('a path or a name counts only from who shares the machine or the process', (t) => {
  const callers = new Callers(() => false);
  callers.take(call('d', 'unix:/run/docker.sock'));
  callers.take(call('teller', 'unix:/run/t.sock', { neighbours: [{ nodeId: 'e', address: 'unix:/run/e.sock' }, { nodeId: 'f', address: 'memory:f' }] }));
  t.deepEqual(['d', 'teller', 'e', 'f'].map((id) => callers.addressOf(id)), [null, null, null, null]);
  callers.take(call('d', 'unix:/run/d.sock', { remote: 'unix:/run/a.sock:7', neighbours: [{ nodeId: 'e', address: 'unix:/run/e.sock' }, { nodeId: 'f', address: 'memory:f' }, { nodeId: 'g', address: '10.0.0.7:7400' }] }));
  t.deepEqual(['d', 'e', 'f', 'g'].map((id) => callers.addressOf(id)), [{ path: '/run/d.sock' }, { path: '/run/e.sock' }, null, { host: '10.0.0.7', port: 7400 }]);
  callers.take(call('f', 'memory:f', { remote: 'memory:a:9' }));
  t.deepEqual(callers.addressOf('f'), { memory: 'f' });
});
