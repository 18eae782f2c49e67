/** The configuration's named protocols, as publishes use them. */
import type { Protocol, ServedLevel } from '../contracts/index.js';
import { CoordinatorError, nearest } from '../errors/index.js';

/** What a publish asks for. */
export interface Requirement {
  readonly level: ServedLevel;
  readonly quorumSize: number | 'all' | undefined;
  readonly timeoutMs: number | undefined;
}

export class Protocols {
  readonly #requirements: ReadonlyMap<string, Requirement>;

  constructor(named: Readonly<Record<string, Protocol>>) {
    this.#requirements = new Map(Object.entries(named).map(([name, protocol]) => [name, requirementOf(protocol)]));
  }

  /** Throws `UNKNOWN_PROTOCOL`. */
  requirement(name: string): Requirement {
    const requirement = this.#requirements.get(name);
    if (requirement !== undefined) return requirement;
    const known = [...this.#requirements.keys()];
    const close = typeof name === 'string' ? nearest(name, known) : null;
    const allowed = known.length === 0 ? 'the configuration of this node names none' : close === null ? `allowed are ${known.join(', ')}` : `did you mean ${close}? Allowed are ${known.join(', ')}`;
    throw new CoordinatorError('UNKNOWN_PROTOCOL', `there is no protocol ${JSON.stringify(name)}; ${allowed}`, { details: { protocol: name, allowed: known } });
  }
}

/** Settings that a protocol shares with the whole node are the node's already: the configuration's checks see to it. */
function requirementOf(protocol: Protocol): Requirement {
  const { kind: level } = protocol;
  return protocol.kind === 'strong'
    ? { level, quorumSize: protocol.quorumSize, timeoutMs: protocol.consensusTimeoutMs }
    : { level, quorumSize: undefined, timeoutMs: undefined };
}
