/** Which level an event gets: what it says, what protocols and rules of the configuration say, what adaptive finds. */
import test from 'ava';
import { type Decision, LevelPolicy, type LevelSettings, type Surroundings } from '../dist/consistency/index.js';
import { CoordinatorError, type EventInput, type PublishOptions } from '../dist/index.js';

const LINKED: Surroundings = { majorityLinked: true, spreadMs: 300, followMs: 100 };
const CUT_OFF: Surroundings = { ...LINKED, majorityLinked: false };

/** Rules match events whose path begins with their name. */
function policyOf(settings: Partial<LevelSettings>, surroundings = LINKED): LevelPolicy {
  const { protocols = {}, levels = [] } = settings;
  const rulesOf = (events: readonly EventInput[]) => events.map(({ path }) => levels.findIndex(({ name }) => path?.startsWith(`/${name}`)));
  return new LevelPolicy({ protocols, levels }, { rulesOf, surroundings: () => surroundings });
}
const event = (path: string): EventInput => ({ type: 'FilesystemWrite', path });

function decide(settings: Partial<LevelSettings>, options: PublishOptions, path = '/x', surroundings = LINKED): Decision {
  const [part] = policyOf(settings, surroundings).plan([event(path)], options);
  if (part === undefined || part.decision instanceof CoordinatorError) throw part?.decision;
  return part.decision;
}

test('what nobody configures is linearizable, waits, and has no rule', (t) => {
  t.like(decide({}, {}), { level: 'linearizable', rule: null, onQuorumLoss: 'wait' });
  t.like(decide({}, { consistency: 'causal' }), { level: 'causal', rule: null });
});

test('a quorum is asked of strong alone', (t) => {
  t.like(decide({}, { consistency: 'strong', quorumSize: 2 }), { level: 'strong' });
  const protocols = { safe: { kind: 'strong' }, fast: { kind: 'causal' } } as const;
  t.like(decide({ protocols }, { protocol: 'safe', quorumSize: 2 }), { level: 'strong' });
  t.notThrows(() => decide({ levels: [{ name: 'x', weakest: 'causal', strongest: 'strong' }] }, { quorumSize: 2 }));
  for (const [options, level] of [[{}, 'linearizable'], [{ consistency: 'causal' }, 'causal'], [{ protocol: 'fast' }, 'causal']] as const) {
    t.throws(() => decide({ protocols }, { ...options, quorumSize: 2 }), { instanceOf: CoordinatorError, code: 'USAGE', message: new RegExp(`^quorumSize is of level strong, the publish is of level ${level};`) });
  }
});

test('a protocol brings its level and its settings, and is named', (t) => {
  const protocols = { safe: { kind: 'strong', quorumSize: 'all', consensusTimeoutMs: 700 }, fast: { kind: 'eventual' } } as const;
  t.like(decide({ protocols }, { protocol: 'safe' }), { level: 'strong', quorumSize: 'all', timeoutMs: 700, rule: 'protocols.safe' });
  t.like(decide({ protocols }, { protocol: 'fast', consistency: 'eventual' }), { level: 'eventual', rule: 'protocols.fast' });
  const refused = (options: PublishOptions, code: string, message: RegExp) => t.throws(() => decide({ protocols }, options), { instanceOf: CoordinatorError, code, message });
  refused({ protocol: 'safer' }, 'UNKNOWN_PROTOCOL', /did you mean safe\? Allowed are safe, fast/);
  refused({ protocol: 'toString' }, 'UNKNOWN_PROTOCOL', /allowed are safe, fast/);
  refused({ protocol: 'safe', consistency: 'causal' }, 'USAGE', /has the level strong, the publish asks for causal/);
  refused({ protocol: 'safe', consistency: 'adaptive' }, 'USAGE', /has the level strong/);
  refused({ protocol: 'safe', critical: true }, 'CRITICAL_UNAVAILABLE', /validators/);
  refused({ consistency: 'stronger' as 'strong' }, 'UNKNOWN_LEVEL', /allowed are eventual/);
  t.throws(() => decide({}, { protocol: 'x' }), { code: 'UNKNOWN_PROTOCOL', message: /names none/ });
});

test('the first rule that matches decides for events that say nothing; what is lost is its say for all', (t) => {
  const protocols = { safe: { kind: 'strong', quorumSize: 2, consensusTimeoutMs: 300 } } as const;
  const levels = [
    { name: 'audit', protocol: 'safe', onQuorumLoss: 'fail' },
    { name: 'a', level: 'causal' },
    { name: 'b', onQuorumLoss: 'degrade' },
  ] as const;
  const of = (path: string, options: PublishOptions = {}) => decide({ protocols, levels }, options, path);
  t.like(of('/audit/1'), { level: 'strong', quorumSize: 2, rule: 'levels.audit', onQuorumLoss: 'fail' });
  t.like(of('/a/1'), { level: 'causal', rule: 'levels.a' });
  t.like(of('/b/1'), { level: 'linearizable', rule: null, onQuorumLoss: 'degrade', lossRule: 'levels.b' });
  t.like(of('/c/1'), { level: 'linearizable', rule: null, onQuorumLoss: 'wait', lossRule: null });
  t.like(of('/audit/1', { consistency: 'sequential' }), { level: 'sequential', rule: null, onQuorumLoss: 'fail', lossRule: 'levels.audit' });
  t.like(of('/a/1', { protocol: 'safe' }), { level: 'strong', rule: 'protocols.safe' });
  // A staleness changes nothing of what the rule asks for besides.
  t.like(of('/audit/1', { maxStalenessMs: 60_000 }), { level: 'strong', quorumSize: 2, timeoutMs: 300, rule: 'levels.audit', onQuorumLoss: 'fail' });
});

test('a batch goes in parts, and each lane keeps its order', (t) => {
  const levels = [{ name: 'a', level: 'causal' }, { name: 'b', level: 'strong' }, { name: 'c', level: 'strong' }] as const;
  const plan = (paths: readonly string[]) => policyOf({ levels }).plan(paths.map(event), {}).map(({ positions, decision }) => [(decision as Decision).rule, positions]);
  t.deepEqual(plan(['/b', '/b']), [['levels.b', null]]);
  t.deepEqual(plan(['/b', '/a', '/b', '/a']), [['levels.b', [0, 2]], ['levels.a', [1, 3]]]);
  t.deepEqual(plan(['/b', '/c', '/b', '/a']), [['levels.b', [0]], ['levels.c', [1]], ['levels.b', [2]], ['levels.a', [3]]]);
  t.deepEqual(plan([]), []);
});

test('adaptive is the weakest level between the bounds that keeps the staleness', (t) => {
  const levels = [
    { name: 'wide', weakest: 'eventual', strongest: 'linearizable', maxStalenessMs: 200 },
    { name: 'ordered', level: 'causal', weakest: 'sequential', strongest: 'strong' },
    { name: 'weak', weakest: 'eventual', strongest: 'causal' },
    { name: 'one', level: 'strong' },
  ] as const;
  const of = (path: string, options: PublishOptions, surroundings = LINKED) => decide({ levels }, options, path, surroundings);
  const adaptive = { consistency: 'adaptive' } as const;
  t.like(of('/wide', {}), { level: 'sequential', rule: 'levels.wide' });
  t.like(of('/wide', { maxStalenessMs: 300 }), { level: 'eventual', rule: 'levels.wide' });
  t.like(of('/wide', { ...adaptive, maxStalenessMs: 50 }), { level: 'strong', rule: 'levels.wide' });
  t.like(of('/wide', { maxStalenessMs: 5000 }, CUT_OFF), { level: 'sequential' });
  t.like(of('/ordered', {}), { level: 'causal', rule: 'levels.ordered' });
  t.like(of('/ordered', adaptive), { level: 'sequential', rule: 'levels.ordered' });
  t.like(of('/weak', adaptive), { level: 'eventual', rule: 'levels.weak' });
  t.like(of('/one', adaptive), { level: 'strong', rule: 'levels.one' });
  t.like(of('/else', adaptive), { level: 'linearizable', rule: 'default' });
  t.throws(() => of('/weak', { maxStalenessMs: 10 }), { code: 'LEVEL_UNAVAILABLE', message: /10 ms are too short for any level from eventual to causal/ });
  t.throws(() => of('/weak', { ...adaptive, maxStalenessMs: 1e9 }, CUT_OFF), { code: 'LEVEL_UNAVAILABLE' });
  t.throws(() => of('/weak', { consistency: 'causal', maxStalenessMs: 10 }), { code: 'USAGE', message: /adaptive/ });
  t.throws(() => of('/weak', { maxStalenessMs: -1 }), { code: 'USAGE' });
});

test('what no level can be given to fails alone', (t) => {
  const levels = [{ name: 'weak', weakest: 'eventual', strongest: 'causal' }] as const;
  const parts = policyOf({ levels }, CUT_OFF).plan([event('/weak'), event('/x'), event('/weak')], { maxStalenessMs: 10 });
  t.deepEqual(parts.map(({ decision, positions }) => [decision instanceof CoordinatorError ? decision.code : decision.level, positions]), [['LEVEL_UNAVAILABLE', [0, 2]], ['linearizable', [1]]]);
});
