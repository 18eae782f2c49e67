/** Rules of replication: what an operator sets, handed to group 0's leader, and how it ended. */
import type { AgreedReplication, Replication, ReplicationRules, WaitOptions } from '../contracts/index.js';
import { checkTimeout, CoordinatorError, type ErrorCode } from '../errors/index.js';
import { type Catalogue, packReplication, unpackReplication } from '../events/index.js';
import { type Core, END } from '../native/index.js';
import type { Requests } from './requests.js';

export interface ReplicationPorts {
  readonly core: Pick<Core, 'setReplication' | 'replicationRules'>;
  readonly requests: Requests;
  readonly catalogue: Catalogue;
  readonly timeoutMs: number;
  /** Throws when the node takes nothing any more. */
  check(): void;
}

/** The group that keeps the table. */
const FIRST_GROUP = 0;

/** By the number it travels under (docs/formats.md, "Rules of replication"). */
const REFUSALS: Readonly<Record<number, readonly [ErrorCode, string]>> = {
  2: ['REPLICATION_INVALID', 'the rules are more, or longer, than a table may be: 64 rules, 64 regions, 65,536 bytes'],
  3: ['REPLICATION_INVALID', 'two rules have one name'],
  4: ['REPLICATION_INVALID', 'a rule names a region that the table does not have'],
  5: ['REPLICATION_INVALID', 'a rule has a glob that is not valid'],
  6: ['REPLICATION_UNSUPPORTED', 'a member has not told this node that it knows of rules of replication: it is of an older release, or was never connected since this node started'],
};

export class NodeReplication implements Replication {
  readonly #ports: ReplicationPorts;

  constructor(ports: ReplicationPorts) {
    this.#ports = ports;
  }

  rules(): AgreedReplication {
    return unpackReplication(this.#ports.core.replicationRules(), this.#ports.catalogue);
  }

  async set(rules: ReplicationRules, options: WaitOptions = {}): Promise<AgreedReplication> {
    const { core, requests, catalogue, check } = this.#ports;
    check();
    const timeoutMs = checkTimeout(options.timeoutMs ?? this.#ports.timeoutMs);
    const packed = packReplication(rules, catalogue);
    const end = await requests.make({ what: 'the change of the rules of replication', group: FIRST_GROUP, timeoutMs, signal: options.signal }, (request) => core.setReplication(request, packed));
    if (end.kind === END.rulesRefused) {
      const [code, what] = REFUSALS[end.count] ?? ['INTERNAL' as const, `the rules were refused for a reason this release does not know (${end.count})`];
      throw new CoordinatorError(code, what, { committed: 'no' });
    }
    const version = Buffer.alloc(8);
    version.writeBigUInt64LE(end.index);
    return unpackReplication(Buffer.concat([version, packed]), catalogue);
  }
}
