/** What a serving node logs of refusals. */
import { EventEmitter } from 'node:events';
import test from 'ava';
import type { Logger } from 'pino';
import { type Watched, watch } from '../dist/cli/serve/watch.js';
import type { Refused } from '../dist/network/index.js';

test('a refusal is logged once for each peer and code; where nobody said who it is, for each machine', (t) => {
  const lines: string[] = [];
  const logger = { warn: (_: object, line: string) => lines.push(line) } as unknown as Logger;
  const node = new EventEmitter();
  t.teardown(watch(node as unknown as Watched, logger));
  const refuse = (peer: string | null, remote: string, reason: string): void => {
    const refused: Refused = { type: 'refused', direction: 'inbound', peer, channel: null, remote, code: 'CERTIFICATE_REFUSED', reason };
    node.emit('refused', refused);
  };
  refuse(null, '10.0.0.1:50001', 'a scanner');
  refuse(null, '10.0.0.1:50002', 'a scanner again');
  refuse(null, '10.0.0.2:50001', 'a member whose certificate expired');
  refuse(null, '[fd00::1]:50001', 'another one');
  refuse(null, '[fd00::1]:50002', 'another one again');
  refuse('b', '10.0.0.3:50001', 'b');
  refuse('b', '10.0.0.4:50001', 'b again');
  t.deepEqual(lines, ['a scanner', 'a member whose certificate expired', 'another one', 'b'].map((reason) => `refused a connection: CERTIFICATE_REFUSED: ${reason}`));
});
