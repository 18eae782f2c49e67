/** A dialled connection against an end that no transport of ours would make. */
import { duplexPair } from 'node:stream';
import test from 'ava';
import { Counters } from '../dist/network/counters.js';
import type { NetworkEvent } from '../dist/network/events.js';
import { encodeAnswer } from '../dist/network/hello.js';
import { OutboundLink } from '../dist/network/link.js';
import { DEFAULT_TIMING } from '../dist/network/options.js';
import type { Transport } from '../dist/network/transport.js';
import { directoryOf, optionsOf, RecordingCore, until } from './fixtures/network.js';

test('an answer that comes before the connection has proved anything is none', async (t) => {
  const [near, far] = duplexPair();
  far.on('error', () => {}).resume();
  let opened = (): void => {};
  const transport: Transport = {
    dial: (_address, _bytes, onOpen) => {
      opened = onOpen;
      return { stream: near, remote: 'x:1', proof: () => null };
    },
    listen: () => Promise.reject(new Error('nobody listens')),
  };
  const core = new RecordingCore();
  const events: NetworkEvent[] = [];
  const { identity, protocol, peerBytesMax } = optionsOf('b', {});
  const link = new OutboundLink({ slot: 0, nodeId: 'a', host: 'x', port: 1 }, 0, {
    identity,
    protocol,
    peerBytesMax,
    transport,
    core,
    timing: DEFAULT_TIMING,
    counters: new Counters(),
    random: () => 0.5,
    said: () => ({ listen: '', tableVersion: 0n, neighbours: [] }),
    emit: (event) => void events.push(event),
    inboundOf: () => [],
  });
  t.teardown(() => link.close());
  link.dial();
  far.write(encodeAnswer({ clusterId: 'test', nodeId: 'a', incarnation: 1n, directory: directoryOf('a'), accepted: true, protocol: 1, code: '', reason: '', features: [], life: 0n }));
  await until(() => events.length > 0, 'the refusal');
  opened();
  t.like(events[0], { type: 'refused', direction: 'outbound', code: 'PROTOCOL_ERROR', reason: 'an answer came before it was asked for' });
  t.deepEqual(core.calls, []);
});
