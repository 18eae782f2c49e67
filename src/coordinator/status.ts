/** What a node tells of itself. */
import type { GroupStatus, MemberStatus, Role, Status } from '../contracts/index.js';
import type { ResolvedConfig } from '../config/index.js';
import { type Core, raftId } from '../native/index.js';
import type { NetworkStats } from '../network/index.js';
import type { Links } from './links.js';

const HEX_DIGITS = 16;

export function statusOf(core: Core, config: ResolvedConfig, version: string, links: Links, network: NetworkStats): Status {
  const native = core.status();
  const ids = [config.nodeId, ...Object.keys(config.peers)];
  const nameOf = new Map(ids.map((id) => [raftId(id), id]));
  const leader = native.leader == null ? null : (nameOf.get(native.leader) ?? null);
  const group: GroupStatus = {
    group: 0,
    role: native.role as Role,
    leader,
    term: native.term,
    commitIndex: native.commitIndex,
    appliedIndex: native.appliedIndex,
    applyHash: native.applyHash.toString(16).padStart(HEX_DIGITS, '0'),
    events: native.events,
  };
  const leads = native.role === 'leader';
  const heard = new Map(native.members.map((member) => [member.raftId, member]));
  const members = ids.sort().map((id): MemberStatus => {
    const own = id === config.nodeId;
    const known = heard.get(raftId(id));
    const linked = own ? 'ok' : links.health(id);
    return {
      id,
      address: own ? config.listen : (config.peers[id] ?? null),
      role: 'voter',
      // A leader that has not heard of a linked member within an election timeout suspects it.
      health: linked === 'ok' && leads && known?.active === false ? 'suspect' : linked,
      matchIndex: leads ? (known?.matchIndex ?? null) : own ? native.lastIndex : null,
      refused: own ? null : links.refusal(id),
    };
  });
  const quorum = leader !== null;
  const reasons = [
    ...(quorum ? [] : ['no leader is known: ordered publishes wait']),
    ...members.filter((member) => member.health !== 'ok').map((member) => `member ${member.id} is ${member.health}`),
  ];
  return {
    nodeId: config.nodeId,
    clusterId: config.clusterId,
    version,
    role: group.role,
    leader,
    term: group.term,
    commitIndex: group.commitIndex,
    appliedIndex: group.appliedIndex,
    applyHash: group.applyHash,
    groups: [group],
    members,
    lanes: { ordered: !quorum ? 'no-quorum' : group.appliedIndex < group.commitIndex ? 'recovering' : 'ready', causal: null, critical: null },
    disk: { dataDir: config.dataDir, logBytes: native.logBytes, segments: native.segments, tornBytes: core.tornBytes, syncP50Us: native.syncP50Us },
    health: { state: reasons.length === 0 ? 'ok' : 'degraded', reasons },
    counters: {
      elections: native.elections,
      pending: native.pending,
      pendingBytes: native.pendingBytes,
      sessions: native.sessions,
      outboundBytes: native.outboundBytes,
      droppedFrames: native.droppedFrames,
      refusedFrames: native.refusedFrames,
      ...Object.fromEntries(Object.entries(network).map(([name, value]) => [`network.${name}`, Number(value)])),
    },
  };
}
