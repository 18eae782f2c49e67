import type { MemberChange, MemberStatus } from '../../contracts/index.js';
import type { CoordinatorNode, WaitOptions } from '../../contracts/node.js';
import { CoordinatorError } from '../../errors/index.js';
import { encodeMember } from '../codec-status.js';
import type { WireChangeMembersRequest, WireMembersResponse, WireTransferLeadershipRequest } from '../wire.js';
import { unary } from './context.js';

export const listMembersHandler = (node: CoordinatorNode) => unary<object, WireMembersResponse>(() => answerOf(node.members.list(), 0n, true));

export const changeMembersHandler = (node: CoordinatorNode) =>
  unary<WireChangeMembersRequest, WireMembersResponse>(async (request, context) => {
    const { members, index, settled } = await change(node, request, { ...context.timeout(request.timeoutMs), signal: context.signal });
    return answerOf(members, index, settled);
  });

export const transferLeadershipHandler = (node: CoordinatorNode) =>
  unary<WireTransferLeadershipRequest, object>(async (request, context) => {
    const group = request.group === undefined ? {} : { group: request.group };
    await node.members.transferLeadership(request.to, { ...group, ...context.timeout(request.timeoutMs), signal: context.signal });
    return {};
  });

function change({ members }: CoordinatorNode, request: WireChangeMembersRequest, options: WaitOptions): Promise<MemberChange> {
  const { add, promote, remove, replace } = request;
  if (add) return members.add(add.id, add.address, options);
  if (promote !== undefined) return members.promote(promote, options);
  if (remove !== undefined) return members.remove(remove, options);
  if (replace) return members.replace(replace.oldId, replace.newId, options);
  throw new CoordinatorError('MEMBER_INVALID', 'the request names no change; allowed are add, promote, remove and replace');
}

function answerOf(members: readonly MemberStatus[], index: bigint, settled: boolean): WireMembersResponse {
  return { members: members.map(encodeMember), index: index.toString(), settled };
}
