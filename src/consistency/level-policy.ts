/**
 * Which level an event gets, and what becomes of it while its group has no quorum: what the publish says, else the first rule of the
 * configuration's `levels` that matches the event, else linearizable and waiting.
 */
import { type EventInput, isCausal, LEVELS, type LevelRule, type OnQuorumLoss, type PublishOptions } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type Bounds, type Surroundings, weakestLevel } from './adaptive.js';
import { Protocols, type Requirement } from './protocols.js';

export interface Decision extends Requirement {
  /** What chose the level, as receipts name it. */
  readonly rule: string | null;
  readonly onQuorumLoss: OnQuorumLoss;
  /** What a downgrade is laid to. */
  readonly lossRule: string | null;
}

/** Events of a batch that go one way, in their order. */
export interface Part {
  readonly decision: Decision | CoordinatorError;
  readonly events: readonly EventInput[];
  /** Where they stand in the batch; null for a whole one. */
  readonly positions: readonly number[] | null;
}

export interface LevelPolicyPorts {
  /** Of each event the first rule that matches it, by its position; -1 for none. */
  rulesOf(events: readonly EventInput[]): ArrayLike<number>;
  surroundings(): Surroundings;
}

export interface LevelSettings {
  readonly protocols: ConstructorParameters<typeof Protocols>[0];
  readonly levels: readonly LevelRule[];
}

type Asked = (Requirement & { readonly rule: string | null }) | { readonly adaptive: true; readonly maxStalenessMs: number | undefined } | null;

/** Where no rule says otherwise. */
const USUAL: Requirement = { level: 'linearizable', quorumSize: undefined, timeoutMs: undefined };
const USUAL_BOUNDS: Bounds = { weakest: 'linearizable', strongest: 'linearizable' };
const NO_RULE = -1;

export class LevelPolicy {
  readonly #protocols: Protocols;
  readonly #rules: readonly LevelRule[];
  readonly #ports: LevelPolicyPorts;

  constructor({ protocols, levels }: LevelSettings, ports: LevelPolicyPorts) {
    this.#protocols = new Protocols(protocols);
    this.#rules = levels;
    this.#ports = ports;
  }

  /**
   * Parts of the two lanes, each lane's in the order of the batch. A decision is an error where no level can be given.
   * Throws `UNKNOWN_LEVEL`, `UNKNOWN_PROTOCOL`, `CRITICAL_UNAVAILABLE` and `USAGE`.
   */
  plan(events: readonly EventInput[], options: PublishOptions): readonly Part[] {
    const asked = this.#asked(options);
    if (options.quorumSize !== undefined) this.#checkQuorum(asked);
    if (this.#rules.length === 0) return [{ decision: this.#decide(asked, NO_RULE), events, positions: null }];
    const rules = this.#ports.rulesOf(events);
    const decisions = new Map<number, Decision | CoordinatorError>();
    const decisionOf = (rule: number): Decision | CoordinatorError => {
      const decision = decisions.get(rule) ?? this.#decide(asked, rule);
      decisions.set(rule, decision);
      return decision;
    };
    const parts: { decision: Decision | CoordinatorError; events: EventInput[]; positions: number[] }[] = [];
    // The last part of each lane: what follows in another one may not be put into an earlier part of its own.
    const last = new Map<string, (typeof parts)[number]>();
    for (const [position, event] of events.entries()) {
      const decision = decisionOf(rules[position] ?? NO_RULE);
      const lane = decision instanceof CoordinatorError ? 'none' : isCausal(decision.level) ? 'causal' : 'ordered';
      let part = last.get(lane);
      if (part === undefined || part.decision !== decision) {
        part = { decision, events: [], positions: [] };
        parts.push(part);
        last.set(lane, part);
      }
      part.events.push(event);
      part.positions.push(position);
    }
    const [only] = parts;
    return parts.length === 1 && only !== undefined ? [{ decision: only.decision, events, positions: null }] : parts;
  }

  /** What the publish itself says; null where it leaves the level to the rules. */
  #asked({ consistency, critical, protocol, maxStalenessMs }: PublishOptions): Asked {
    if (critical === true || consistency === 'critical') throw new CoordinatorError('CRITICAL_UNAVAILABLE', 'critical events need four validators; this node has none');
    if (consistency !== undefined && consistency !== 'adaptive' && !(LEVELS as readonly string[]).includes(consistency)) {
      throw new CoordinatorError('UNKNOWN_LEVEL', `there is no level ${JSON.stringify(consistency)}; allowed are ${LEVELS.join(', ')}, and adaptive`);
    }
    if (maxStalenessMs !== undefined && !(maxStalenessMs >= 0)) throw new CoordinatorError('USAGE', `maxStalenessMs ${maxStalenessMs} is no time; a number from 0 on is allowed`);
    const adaptive = consistency === 'adaptive' || (consistency === undefined && protocol === undefined && maxStalenessMs !== undefined);
    if (maxStalenessMs !== undefined && !adaptive) throw new CoordinatorError('USAGE', 'maxStalenessMs is of adaptive publishes; leave it out, or the level and the protocol');
    if (protocol === undefined) {
      if (adaptive) return { adaptive, maxStalenessMs };
      return consistency === undefined ? null : { level: consistency, quorumSize: undefined, timeoutMs: undefined, rule: null };
    }
    const requirement = this.#protocols.requirement(protocol);
    if (consistency !== undefined && consistency !== requirement.level) {
      throw new CoordinatorError('USAGE', `the protocol ${protocol} has the level ${requirement.level}, the publish asks for ${consistency}; give one of them, or the same`);
    }
    return { ...requirement, rule: `protocols.${protocol}` };
  }

  /** Where rules or the bounds of adaptive choose, it holds if they come to strong. */
  #checkQuorum(asked: Asked): void {
    const level = asked === null ? (this.#rules.length === 0 ? USUAL.level : null) : 'level' in asked ? asked.level : null;
    if (level !== null && level !== 'strong') throw new CoordinatorError('USAGE', `quorumSize is of level strong, the publish is of level ${level}; leave it out, or ask for strong`);
  }

  #decide(asked: Asked, at: number): Decision | CoordinatorError {
    const rule = this.#rules[at];
    const named = rule === undefined ? null : `levels.${rule.name}`;
    const loss = { onQuorumLoss: rule?.onQuorumLoss ?? 'wait', lossRule: named } as const;
    if (asked !== null && 'level' in asked) return { ...asked, ...loss };
    const bounds = rule === undefined ? USUAL_BOUNDS : this.#boundsOf(rule);
    const adaptive = asked !== null || rule?.level === 'adaptive' || (rule?.level === undefined && rule?.protocol === undefined && rule?.weakest !== undefined);
    if (!adaptive) {
      const requirement = rule === undefined ? USUAL : this.#requirementOf(rule);
      return { ...requirement, ...loss, rule: rule?.level === undefined && rule?.protocol === undefined ? null : named };
    }
    const maxStalenessMs = asked?.maxStalenessMs ?? rule?.maxStalenessMs;
    const level = weakestLevel(bounds, maxStalenessMs, this.#ports.surroundings());
    // Where that is the level which the rule gives anyway, its quorum and its time are the rule's as well.
    const usual = rule === undefined ? USUAL : this.#requirementOf(rule);
    if (level !== null) return { ...(usual.level === level ? usual : { ...USUAL, level }), ...loss, rule: named ?? 'default' };
    const from = bounds.weakest === bounds.strongest ? `level ${bounds.weakest}, the only one` : `any level from ${bounds.weakest} to ${bounds.strongest}, which are those`;
    return new CoordinatorError('LEVEL_UNAVAILABLE', `as the links are now, ${maxStalenessMs} ms are too short for ${from} that ${named ?? 'the default'} allows`);
  }

  #requirementOf(rule: LevelRule): Requirement {
    if (rule.protocol !== undefined) return this.#protocols.requirement(rule.protocol);
    return rule.level === undefined || rule.level === 'adaptive' ? USUAL : { ...USUAL, level: rule.level };
  }

  /** Of a rule that declares none: the one level that it gives. */
  #boundsOf(rule: LevelRule): Bounds {
    if (rule.weakest !== undefined && rule.strongest !== undefined) return { weakest: rule.weakest, strongest: rule.strongest };
    const { level } = this.#requirementOf(rule);
    return { weakest: level, strongest: level };
  }
}
