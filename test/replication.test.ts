/** Rules of replication as bytes, and over the wire. */
import test from 'ava';
import { Catalogue, packReplication, unpackReplication } from '../dist/events/index.js';
import type { ReplicationRules } from '../dist/index.js';
import { codeOf } from './helpers/cluster.js';

const catalogue = new Catalogue({ Own: 0x1234 });
const pack = (rules: unknown): Buffer => packReplication(rules as ReplicationRules, catalogue);
/** As a node has them that has applied them at entry 7. */
const agreed = (rules: unknown) => unpackReplication(Buffer.concat([Buffer.from([7, 0, 0, 0, 0, 0, 0, 0]), pack(rules)]), catalogue);
const said = (rules: unknown) => codeOf(Promise.resolve().then(() => pack(rules)));

test('rules come back as they were meant', (t) => {
  const rules = {
    regions: { eu: ['d', 'e'], us: [] },
    rules: [
      { name: 'docs', match: { type: ['FilesystemWrite', 'Own', 'filesystem'], path: '/docs/**', priority: [1, 5] }, holders: { nodes: ['d'], regions: ['eu'] } },
      { name: 'rest', holders: {} },
    ],
  };
  t.deepEqual(agreed(rules), {
    version: 7n,
    regions: rules.regions,
    rules: [{ ...rules.rules[0], match: { type: ['filesystem', 'FilesystemWrite', 'Own'], path: ['/docs/**'], priority: [1, 5] } }, rules.rules[1]],
  } as unknown as ReturnType<typeof agreed>);
  t.deepEqual(agreed({ rules: [] }), { version: 7n, regions: {}, rules: [] });
});

test('the bytes are those of docs/formats.md', (t) => {
  const packed = pack({ regions: { r: ['d'] }, rules: [{ name: 'x', match: { type: 0x1234, path: '/x', priority: 2 }, holders: { nodes: ['e'], regions: ['r'] } }] });
  t.is(packed.toString('hex'), '01000100720100010064' + '010001007804' + '01003412' + '0000' + '010002002f78' + '0100010065' + '0100010072');
});

test('what nobody could mean is refused', async (t) => {
  const rule = (more: object) => ({ rules: [{ name: 'x', holders: {}, ...more }] });
  const bad = [
    undefined,
    [],
    { rules: [], other: 1 },
    { regions: [], rules: [] },
    { regions: { r: 'd' }, rules: [] },
    { regions: { '': [] }, rules: [] },
    rule({ name: '' }),
    rule({ name: 'x'.repeat(65) }),
    rule({ holders: undefined }),
    rule({ holders: { nodes: [1] } }),
    rule({ holders: { regions: ['r'] } }),
    rule({ match: { type: 'Nothing' } }),
    rule({ match: { path: 'relative' } }),
    rule({ match: { priority: 0 } }),
    rule({ match: { priority: 'high' } }),
    { rules: Array.from({ length: 65 }, (_, at) => ({ name: String(at), holders: {} })) },
    rule({ match: { path: Array.from({ length: 33 }, () => '/x') } }),
  ];
  for (const rules of bad) t.is(await said(rules), 'REPLICATION_INVALID', JSON.stringify(rules));
});
