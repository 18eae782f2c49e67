/** Whether protocols and levels mean something that holds: a setting that nothing would follow is refused. */
import { isCausal, LEVELS, type LevelRule, type Protocol } from '../contracts/index.js';
import type { ResolvedConfig } from './schema.js';

/** Of one value below a name: what is wrong with it, after "NAME (origin) ". */
export interface LevelProblem {
  readonly name: 'protocols' | 'levels';
  /** Below the name. */
  readonly path: string;
  readonly rest: string;
}

export function* levelProblems(config: ResolvedConfig, labelOf: (name: string) => string): Generator<LevelProblem> {
  for (const [name, protocol] of Object.entries(config.protocols)) {
    for (const { setting, value, allowed } of withoutEffect(protocol, config, labelOf)) {
      yield { name: 'protocols', path: `${name}.${setting}`, rest: `is ${value}; allowed: ${allowed}.` };
    }
  }
  const seen = new Set<string>();
  for (const [at, rule] of config.levels.entries()) {
    for (const rest of ruleProblems(rule, config)) yield { name: 'levels', path: `${at}`, rest: `${JSON.stringify(rule.name)} ${rest}.` };
    if (seen.has(rule.name)) yield { name: 'levels', path: `${at}`, rest: `is called ${JSON.stringify(rule.name)}; allowed: a name of its own, since receipts name the rule.` };
    seen.add(rule.name);
  }
}

/** The causal lane is one for all events: a protocol can say what it has, and nothing else. */
function* withoutEffect(protocol: Protocol, { causal }: ResolvedConfig, labelOf: (name: string) => string): Generator<{ setting: string; value: number; allowed: string }> {
  const same = (setting: string, value: number | undefined, of: keyof typeof causal) =>
    value === undefined || value === causal[of] ? [] : [{ setting, value, allowed: `${causal[of]}, which causal.${of} (${labelOf(`causal.${of}`)}) is, since the node has one causal lane for all protocols` }];
  const none = (setting: string, value: number | undefined, why: string) => (value === undefined ? [] : [{ setting, value, allowed: `no value, since ${why}` }]);
  switch (protocol.kind) {
    case 'eventual':
      yield* same('gossipIntervalMs', protocol.gossipIntervalMs, 'gossipIntervalMs');
      yield* none('antiEntropyIntervalMs', protocol.antiEntropyIntervalMs, 'what is missing is asked for when it is known to be, at no interval');
      break;
    case 'causal':
      yield* same('causalityBufferEvents', protocol.causalityBufferEvents, 'bufferEvents');
      yield* same('deliveryTimeoutMs', protocol.deliveryTimeoutMs, 'deliveryTimeoutMs');
      break;
    case 'sequential':
      yield* none('bufferEvents', protocol.bufferEvents, 'events of the ordered lane are delivered from the journal, without a buffer of their own');
      break;
    default:
  }
}

function* ruleProblems(rule: LevelRule, { protocols }: ResolvedConfig): Generator<string> {
  const { level, protocol, weakest, strongest, maxStalenessMs, onQuorumLoss } = rule;
  if (level !== undefined && protocol !== undefined) yield `has the level ${level} and the protocol ${protocol}; allowed: one of the two`;
  if (protocol !== undefined && !Object.hasOwn(protocols, protocol)) {
    const known = Object.keys(protocols);
    yield `names the protocol ${protocol}; allowed: ${known.length === 0 ? 'none, since protocols is empty' : `one of protocols: ${known.join(', ')}`}`;
  }
  if (level === undefined && protocol === undefined && weakest === undefined && onQuorumLoss === undefined) yield 'decides nothing; allowed: a level, a protocol, bounds or onQuorumLoss';
  if ((weakest === undefined) !== (strongest === undefined)) yield 'has one bound; allowed: weakest and strongest, or neither';
  if (level === 'adaptive' && weakest === undefined) yield 'has the level adaptive without bounds; allowed: weakest and strongest beside it';
  if (maxStalenessMs !== undefined && weakest === undefined) yield 'has maxStalenessMs without bounds; allowed: weakest and strongest beside it';
  if (weakest === undefined || strongest === undefined) return;
  if (LEVELS.indexOf(weakest) > LEVELS.indexOf(strongest)) yield `has the bounds ${weakest} to ${strongest}; allowed: the weaker one first`;
  if (onQuorumLoss === 'degrade' && !isCausal(weakest)) yield `degrades and has ${weakest} as its weakest level; allowed: eventual or causal as the weakest, or onQuorumLoss fail or wait`;
}
