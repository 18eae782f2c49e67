import { readFileSync } from 'node:fs';
import test from 'ava';
import { type ConfigSources, type CoordinatorConfig, describeConfig, isLoopback, loadConfig, parseAddress, resolveConfig } from '../dist/config/index.js';
import { CoordinatorError } from '../dist/errors/index.js';
import { configurationMarkdown } from '../scripts/write-docs.mjs';

const REQUIRED = { nodeId: 'a', dataDir: '/tmp/a' };

function refusal(sources: ConfigSources): CoordinatorError {
  try {
    loadConfig(sources);
  } catch (error) {
    if (error instanceof CoordinatorError) return error;
    throw error;
  }
  throw new Error('the configuration was accepted');
}
const sentences = (sources: ConfigSources) => refusal(sources).message.split('\n');

test('two names make a whole configuration', (t) => {
  const config = resolveConfig(REQUIRED);
  t.is(config.clusterId, 'vexfs');
  t.is(config.listen, '127.0.0.1:7400');
  t.is(config.api, '127.0.0.1:7401');
  t.deepEqual(config.raft.electionTimeoutMs, [150, 300]);
  t.is(config.raft.heartbeatIntervalMs, 50);
  t.is(config.dedup.windowEvents, 1_000_000);
  t.is(config.log.segmentBytes, 64 * 1024 * 1024);
  t.is(config.publishTimeoutMs, 10_000);
  t.deepEqual(config.peers, {});
});

test('flags win over the environment, the environment over the file, the file over defaults', (t) => {
  const fileText = 'nodeId: file\ndataDir: /file\nclusterId: file\nraft:\n  heartbeatIntervalMs: 30\n  electionTimeoutMs: [200, 400]\n';
  const env = { VEXCOORD_NODE_ID: 'env', VEXCOORD_CLUSTER_ID: 'env', VEXCOORD_RAFT_ELECTION_TIMEOUT_MS: '300, 600', HOME: '/root' };
  const { config, origins } = loadConfig({ fileText, fileName: 'x.yaml', env, flags: { 'node-id': 'flag', output: 'json' } });
  t.is(config.nodeId, 'flag');
  t.is(config.clusterId, 'env');
  t.is(config.dataDir, '/file');
  t.deepEqual(config.raft, { ...config.raft, heartbeatIntervalMs: 30, electionTimeoutMs: [300, 600] });
  t.deepEqual(origins.get('nodeId'), { source: 'flag', label: 'flag --node-id' });
  t.deepEqual(origins.get('clusterId'), { source: 'environment', label: 'environment VEXCOORD_CLUSTER_ID' });
  t.deepEqual(origins.get('dataDir'), { source: 'file', label: 'file x.yaml' });
  t.deepEqual(origins.get('listen'), { source: 'default', label: 'default' });
  t.is(origins.size, describeConfig().length);
});

test('every name can be given as text, and its default reads back from it', (t) => {
  for (const one of describeConfig()) {
    if (one.default === null) continue;
    const value: unknown = JSON.parse(one.default);
    const text = Array.isArray(value) && (one.repeatable || value.length > 0) ? value.join(',') : typeof value === 'string' ? value : one.default === '{}' && one.repeatable ? '' : one.default;
    const { config } = loadConfig({ env: { VEXCOORD_NODE_ID: 'a', VEXCOORD_DATA_DIR: '/a', [one.env]: text } });
    const read = one.name.split('.').reduce<unknown>((part, key) => (part as Record<string, unknown>)[key], config);
    t.deepEqual(read, value, one.name);
  }
});

test('flags come in the spelling of the command line and in that of its parser', (t) => {
  const flags = { nodeId: 'a', '--data-dir': '/a', peer: ['b=10.0.0.2:7400', 'c=[::1]:7400'], eventTypes: ['Backup=0x1000', 'Scan=4097'], securityInsecure: true, api: 'false' };
  const { config } = loadConfig({ flags });
  t.deepEqual(config.peers, { b: '10.0.0.2:7400', c: '[::1]:7400' });
  t.deepEqual(config.eventTypes, { Backup: 0x1000, Scan: 4097 });
  t.true(config.security.insecure);
  t.false(config.api);
});

test('JSON is read as YAML is', (t) => {
  const fileText = JSON.stringify({ ...REQUIRED, protocols: { fast: { kind: 'causal' } } });
  const { config, warnings } = loadConfig({ fileText, fileName: 'x.json' });
  t.deepEqual(config.protocols, { fast: { kind: 'causal' } });
  t.deepEqual(warnings, []);
  t.deepEqual(loadConfig({ fileText: 'nodeId: a\ndataDir: /a\nrouting: {}\n', fileName: 'x.yaml' }).warnings, ['routing (file x.yaml) is accepted, but nothing in this release reads it.']);
});

test('a setting of a protocol that nothing would follow is refused, with what is there instead', (t) => {
  const refused = (protocols: object, sentence: string) => t.deepEqual(sentences({ fileText: JSON.stringify({ ...REQUIRED, causal: { bufferEvents: 500 }, protocols }), fileName: 'p' }), [sentence]);
  refused({ x: { kind: 'eventual', gossipIntervalMs: 500 } }, 'protocols.x.gossipIntervalMs (file p) is 500; allowed: 200, which causal.gossipIntervalMs (default) is, since the node has one causal lane for all protocols.');
  refused({ x: { kind: 'eventual', antiEntropyIntervalMs: 500 } }, 'protocols.x.antiEntropyIntervalMs (file p) is 500; allowed: no value, since what is missing is asked for when it is known to be, at no interval.');
  refused({ x: { kind: 'causal', causalityBufferEvents: 1000 } }, 'protocols.x.causalityBufferEvents (file p) is 1000; allowed: 500, which causal.bufferEvents (file p) is, since the node has one causal lane for all protocols.');
  refused({ x: { kind: 'sequential', bufferEvents: 10 } }, 'protocols.x.bufferEvents (file p) is 10; allowed: no value, since events of the ordered lane are delivered from the journal, without a buffer of their own.');
  const [sentence] = sentences({ fileText: JSON.stringify({ ...REQUIRED, protocols: { x: { kind: 'strong', quorumSize: 8 } } }), fileName: 'p' });
  t.regex(sentence ?? '', /^protocols\.x \(file p\) is \{"kind":"strong","quorumSize":8\}; allowed: an object of protocols by name, each \{kind: 'eventual'/);
  t.notThrows(() => resolveConfig({ ...REQUIRED, protocols: { a: { kind: 'eventual', gossipIntervalMs: 200 }, b: { kind: 'causal', deliveryTimeoutMs: 100 }, c: { kind: 'sequential', ordering: 'total' }, d: { kind: 'strong', quorumSize: 'all', consensusTimeoutMs: 5 } } }));
});

test('each rule of levels means something', (t) => {
  const refused = (rule: Record<string, unknown>, rest: string) => t.deepEqual(sentences({ fileText: JSON.stringify({ ...REQUIRED, protocols: { fast: { kind: 'causal' } }, levels: [{ name: 'x', ...rule }] }), fileName: 'p' }), [`levels.0 (file p) "x" ${rest}.`]);
  refused({}, 'decides nothing; allowed: a level, a protocol, bounds or onQuorumLoss');
  refused({ level: 'strong', protocol: 'fast' }, 'has the level strong and the protocol fast; allowed: one of the two');
  refused({ protocol: 'fats' }, 'names the protocol fats; allowed: one of protocols: fast');
  refused({ weakest: 'causal' }, 'has one bound; allowed: weakest and strongest, or neither');
  refused({ level: 'adaptive' }, 'has the level adaptive without bounds; allowed: weakest and strongest beside it');
  refused({ level: 'strong', maxStalenessMs: 5 }, 'has maxStalenessMs without bounds; allowed: weakest and strongest beside it');
  refused({ weakest: 'strong', strongest: 'causal' }, 'has the bounds strong to causal; allowed: the weaker one first');
  refused({ weakest: 'sequential', strongest: 'strong', onQuorumLoss: 'degrade' }, 'degrades and has sequential as its weakest level; allowed: eventual or causal as the weakest, or onQuorumLoss fail or wait');
  const twice = sentences({ fileText: JSON.stringify({ ...REQUIRED, levels: [{ name: 'x', level: 'strong' }, { name: 'x', level: 'causal' }] }), fileName: 'p' });
  t.deepEqual(twice, ['levels.1 (file p) is called "x"; allowed: a name of its own, since receipts name the rule.']);
  const [critical] = sentences({ fileText: JSON.stringify({ ...REQUIRED, levels: [{ name: 'x', level: 'critical' }] }), fileName: 'p' });
  t.regex(critical ?? '', /^levels\.0 \(file p\) is \{"name":"x","level":"critical"\}; allowed: a list of rules \{name, match\?/);
});

test('each mistake is one sentence, and all come together', (t) => {
  const fileText = 'nodeid: a\nraft: 5\nlog: {segmentBytes: 3}\npeers: {b: x}\n';
  const env = { VEXCOORD_RAFT_ELECTION_TIMEOUT: '1', VEXCOORD_RAFT_HEARTBEAT_INTERVAL_MS: 'often', VEXCOORD_TEST_ANYTHING: '1' };
  const error = refusal({ fileText, fileName: 'c.yaml', env, flags: { clusterId: 'no spaces' } });
  t.is(error.code, 'CONFIG_INVALID');
  t.is(error.exitCode, 2);
  t.deepEqual(error.message.split('\n'), [
    'nodeid (file c.yaml) is not a configuration name; did you mean nodeId?',
    'raft (file c.yaml) is 5; allowed: an object with names of its own.',
    'VEXCOORD_RAFT_ELECTION_TIMEOUT (environment) is not a variable of the coordinator; did you mean VEXCOORD_RAFT_ELECTION_TIMEOUT_MS?',
    'nodeId is missing; give it in the file, as VEXCOORD_NODE_ID or as --node-id; allowed: 1 to 64 of the characters A-Z a-z 0-9 . _ -, beginning with a letter or digit.',
    'clusterId (flag --cluster-id) is "no spaces"; allowed: 1 to 64 of the characters A-Z a-z 0-9 . _ -, beginning with a letter or digit.',
    'dataDir is missing; give it in the file, as VEXCOORD_DATA_DIR or as --data-dir; allowed: a path.',
    'peers.b (file c.yaml) is "x"; allowed: ID=HOST:PORT for each other member, with a port from 1 to 65535; ID=unix:PATH, absolute and of at most 107 bytes; or ID=memory:NAME.',
    'raft.heartbeatIntervalMs (environment VEXCOORD_RAFT_HEARTBEAT_INTERVAL_MS) is "often"; allowed: a whole number from 1 to 10000.',
    'log.segmentBytes (file c.yaml) is 3; allowed: a multiple of 4096 from 65536 to 1073741824.',
  ]);
  const { problems } = error.details as { problems: unknown[] };
  t.is(problems.length, 9);
});

test('a file that cannot be read is one sentence with the place', (t) => {
  t.deepEqual(sentences({ fileText: '{"nodeId": "a",\n "dataDir" bad', fileName: 'c.json' }).length, 1);
  t.regex(sentences({ fileText: '{"nodeId": "a",\n "x": [', fileName: 'c.json' })[0] ?? '', /^file c\.json is neither JSON nor YAML: line 2, column \d+: .+\.$/);
  t.deepEqual(sentences({ fileText: '[1]', fileName: 'c.json' }), ['The configuration (file c.json) is a list; allowed: an object of configuration names.']);
});

const TLS = { ca: 'ca.crt', cert: 'a.crt', key: 'a.key' };

test('certificates are whole, and whom they let in is named only with them', (t) => {
  t.deepEqual(resolveConfig({ ...REQUIRED, security: { tls: { ...TLS, revoked: 'list' } } }).security.tls, { ...TLS, revoked: 'list' });
  const wrong: [CoordinatorConfig['security'], RegExp][] = [
    [{ tls: { ca: 'ca.crt', cert: 'a.crt' } as never }, /^security\.tls\.key \(argument\) is undefined; allowed: an object of the paths ca, cert, key/],
    [{ tls: { ...TLS, more: 1 } as never }, /^security\.tls/],
    [{ tls: { ...TLS, key: '' } }, /^security\.tls\.key/],
    [{ allowedPeers: ['b'] }, /^security\.allowedPeers \(argument\) names members; allowed: none without security\.tls/],
  ];
  for (const [security, sentence] of wrong) t.regex(t.throws(() => resolveConfig({ ...REQUIRED, security })).message, sentence);
  const left = t.throws(() => resolveConfig({ ...REQUIRED, peers: { b: '10.0.0.2:7400', c: '10.0.0.3:7400' }, security: { tls: TLS, allowedPeers: ['b'] } }));
  t.regex(left.message, /leaves out c; allowed: all that peers names/);
});

test('an address outside loopback is refused until it is called insecure', (t) => {
  for (const name of ['listen', 'api', 'admin'] as const) {
    const error = t.throws(() => resolveConfig({ ...REQUIRED, [name]: '0.0.0.0:7999' }), { instanceOf: CoordinatorError });
    t.is(error.code, 'ADDRESS_REFUSED');
    t.regex(error.message, new RegExp(`^${name} \\(argument\\) is "0\\.0\\.0\\.0:7999"; allowed: a loopback address`));
  }
  t.is(resolveConfig({ ...REQUIRED, listen: '0.0.0.0:7400', security: { insecure: true } }).listen, '0.0.0.0:7400');
  t.is(resolveConfig({ ...REQUIRED, listen: '0.0.0.0:7400', api: '0.0.0.0:7401', security: { tls: TLS } }).api, '0.0.0.0:7401');
  t.regex(t.throws(() => resolveConfig({ ...REQUIRED, admin: '0.0.0.0:7402', security: { tls: TLS } })).message, /^admin .* since it has no TLS in this release/);
  const { warnings } = loadConfig({ flags: { nodeId: 'a', dataDir: '/a', listen: '0.0.0.0:7400', securityInsecure: true } });
  t.deepEqual(warnings.map((line) => line.slice(0, 44)), ['INSECURE: listen is 0.0.0.0:7400, in plain t']);
  t.deepEqual(loadConfig({ flags: { nodeId: 'a', dataDir: '/a', listen: '0.0.0.0:7400', securityInsecure: true, securityTls: JSON.stringify(TLS) } }).warnings, []);
  t.is(resolveConfig({ ...REQUIRED, peers: { b: 'far.example.org:7400' } }).peers['b'], 'far.example.org:7400');
});

test('names are checked against each other', (t) => {
  const refused = (config: Record<string, unknown>, pattern: RegExp) => {
    const error = t.throws(() => resolveConfig({ ...REQUIRED, ...config }), { instanceOf: CoordinatorError, code: 'CONFIG_INVALID' });
    t.regex(error?.message ?? '', pattern);
  };
  refused({ raft: { heartbeatIntervalMs: 76 } }, /^raft\.heartbeatIntervalMs \(argument\) is 76; allowed: at most half of the shorter raft\.electionTimeoutMs, which is 150 \(default\)\.$/);
  refused({ raft: { electionTimeoutMs: [300, 150] } }, /the smaller first/);
  refused({ peers: { a: '127.0.0.1:7999' } }, /gives this node, a, the address 127\.0\.0\.1:7999/);
  refused({ peers: { b: '127.0.0.1:7400' } }, /gives b the address 127\.0\.0\.1:7400; allowed: an address of its own, since listen has this one/);
  refused({ peers: { b: 'h:1', c: 'H:1' } }, /gives c the address H:1/);
  refused({ api: '127.0.0.1:7400' }, /^api .* since listen has this one\.$/);
  refused({ eventTypes: { A: 0x1000, B: 0x1000 } }, /gives B the code 4096/);
  refused({ eventTypes: { A: 0x0fff } }, /^eventTypes\.A \(argument\) is 4095; allowed/);
  refused({ peers: Object.fromEntries(Array.from({ length: 7 }, (_, n) => [`p${n}`, `h:${n + 1}`])) }, /names 7 other members; allowed: at most 6/);
});

test('a node may have the name of what every object has', (t) => {
  const { peers } = resolveConfig({ nodeId: 'constructor', dataDir: 'data', peers: { toString: '127.0.0.1:7410' } });
  t.deepEqual(Object.entries(peers), [['toString', '127.0.0.1:7410']]);
});

test('one file serves all members: a node leaves itself out of its peers', (t) => {
  const peers = { a: '127.0.0.1:7400', b: '127.0.0.1:7410' };
  t.deepEqual(resolveConfig({ ...REQUIRED, peers }).peers, { b: '127.0.0.1:7410' });
});

test('port 0 takes any free port and clashes with nothing', (t) => {
  t.notThrows(() => resolveConfig({ ...REQUIRED, listen: '127.0.0.1:0', api: '127.0.0.1:0' }));
});

test('addresses are read strictly', (t) => {
  t.deepEqual(parseAddress('[::1]:80'), { host: '::1', port: 80 });
  t.deepEqual(parseAddress('a-b.example:7400'), { host: 'a-b.example', port: 7400 });
  for (const bad of ['', 'a', 'a:', ':80', 'a:65536', '1.2.3:80', '1.2.3.256:80', '::1:80', '[::1]', 'a b:1', '-a:1', 'a:1 ', '[x]:1']) t.is(parseAddress(bad), null, bad);
  for (const near of ['127.0.0.1', '127.9.9.9', '::1', 'localhost']) t.true(isLoopback(near), near);
  for (const far of ['0.0.0.0', '::', '10.0.0.1', '127.example.org', 'localhost.example']) t.false(isLoopback(far), far);
});

test('docs/configuration.md is current', (t) => {
  t.is(readFileSync('docs/configuration.md', 'utf8'), configurationMarkdown(), 'run npm run docs');
});
