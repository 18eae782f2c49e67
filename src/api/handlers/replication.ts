import type { AgreedReplication, ReplicationRules } from '../../contracts/index.js';
import type { CoordinatorNode } from '../../contracts/node.js';
import { CoordinatorError } from '../../errors/index.js';
import type { WireReplicationResponse, WireSetReplicationRequest } from '../wire.js';
import { unary } from './context.js';

export const replicationHandler = (node: CoordinatorNode) => unary<object, WireReplicationResponse>(() => answerOf(node.replication.rules()));

export const setReplicationHandler = (node: CoordinatorNode) =>
  unary<WireSetReplicationRequest, WireReplicationResponse>(async (request, context) => {
    return answerOf(await node.replication.set(rulesOf(request.rulesJson), { ...context.timeout(request.timeoutMs), signal: context.signal }));
  });

/** What the text has to be like is the node's to say. */
function rulesOf(text: string): ReplicationRules {
  try {
    return JSON.parse(text) as ReplicationRules;
  } catch {
    throw new CoordinatorError('REPLICATION_INVALID', 'the rules are not JSON', { committed: 'no' });
  }
}

const answerOf = ({ version, ...rules }: AgreedReplication): WireReplicationResponse => ({ version: version.toString(), rulesJson: JSON.stringify(rules) });
