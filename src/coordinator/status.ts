/** What a node tells of itself. */
import { type CausalLaneStatus, type Divergence, type GroupStatus, LIMITS, type MemberStatus, type PutBack, type RepairStatus, type Role, type Status } from '../contracts/index.js';
import type { ResolvedConfig } from '../config/index.js';
import { causalStatus, type Core, type NativeGroup, type NativeLane, type NativeStatus, raftId } from '../native/index.js';
import type { NetworkStats } from '../network/index.js';
import type { Links } from './links.js';
import type { Placing } from './placing.js';
import type { Leadership } from './quorum-watch.js';
import type { Roster } from './roster.js';
import { trafficOf } from './traffic.js';

const HEX_DIGITS = 16;

export function statusOf(core: Core, config: ResolvedConfig, version: string, roster: Roster, links: Links, network: NetworkStats, placing: Placing, ofFiles: readonly string[]): Status {
  const native = core.status();
  const groups = native.groups.map((group) => groupStatus(group, roster));
  const members = membersOf(native, config, roster, links);
  const first = groups[0] as GroupStatus;
  const { role, leader, term, commitIndex, appliedIndex, applyHash } = first;
  const lane = causalStatus(core.handle);
  const reasons = [...reasonsOf(native, groups, members, links, placing), ...lane.lacking.map(lackingReason), ...ofFiles];
  return {
    nodeId: config.nodeId,
    clusterId: config.clusterId,
    version,
    role,
    leader,
    term,
    commitIndex,
    appliedIndex,
    applyHash,
    groups,
    members,
    network: { profile: config.network.profile },
    lanes: { ordered: laneOf(groups), causal: causalLaneOf(lane), critical: null },
    disk: {
      dataDir: config.dataDir,
      logBytes: native.logBytes,
      segments: native.segments,
      heldBackBytes: native.heldBackBytes,
      tornBytes: core.tornBytes,
      syncP50Us: native.syncP50Us,
      full: native.diskFull,
    },
    health: { state: groups.some((group) => group.isolated) ? 'failed' : reasons.length === 0 ? 'ok' : 'degraded', reasons },
    counters: {
      elections: native.groups.reduce((sum, group) => sum + group.elections, 0),
      divergences: native.groups.reduce((sum, group) => sum + group.divergences, 0),
      pending: native.pending,
      pendingBytes: native.pendingBytes,
      sessions: native.sessions,
      consistencyViolations: placing.lowered,
      placesWaiting: placing.waiting,
      placesCommitted: placing.placed,
      placesRefused: placing.refused,
      outboundBytes: native.outboundBytes,
      droppedFrames: native.droppedFrames,
      refusedFrames: native.refusedFrames,
      'compression.sentRawBytes': native.sentRawBytes,
      'compression.sentPackedBytes': native.sentPackedBytes,
      'compression.receivedRawBytes': native.receivedRawBytes,
      'compression.receivedPackedBytes': native.receivedPackedBytes,
      ...Object.fromEntries(Object.entries(network).map(([name, value]) => [`network.${name}`, Number(value)])),
    },
  };
}

export function leadershipIn({ groups }: NativeStatus, group: number): Leadership {
  const native = groups[group];
  return { led: native?.leader != null, electionTimeoutMaxMs: native?.electionTimeoutMaxMs ?? 0 };
}

function causalLaneOf({ actor, origins, pending }: NativeLane): CausalLaneStatus {
  return { actor: actor === '' ? null : actor, origins, pending };
}

function groupStatus(native: NativeGroup, roster: Roster): GroupStatus {
  return {
    group: native.group,
    role: native.role as Role,
    leader: native.leader == null ? null : roster.nameOf(native.leader),
    term: native.term,
    commitIndex: native.commitIndex,
    appliedIndex: native.appliedIndex,
    applyHash: native.applyHash.toString(16).padStart(HEX_DIGITS, '0'),
    events: native.events,
    lastIndex: native.lastIndex,
    firstIndex: native.firstIndex,
    snapshot: {
      index: native.snapshotIndex,
      taken: native.snapshotsTaken,
      installed: native.snapshotsInstalled,
      failure: native.snapshotFailure ?? null,
    },
    voters: roster.namesOf(native.voters),
    outgoing: roster.namesOf(native.outgoing),
    learners: roster.namesOf(native.learners),
    electionTimeoutMs: [native.electionTimeoutMinMs, native.electionTimeoutMaxMs],
    consistencyPercentage: native.consistencyPercentage,
    divergence: divergenceOf(native, roster),
    isolated: native.isolated,
    repair: {
      waiting: native.repairing,
      firstIndex: native.lostFirstIndex ?? null,
      lastIndex: native.lostLastIndex ?? null,
      repaired: native.repaired,
      refused: native.repairsRefused,
    },
    putBack: putBackOf(native, roster),
  };
}

function divergenceOf(native: NativeGroup, roster: Roster): Divergence | null {
  if (native.divergedIndex == null) return null;
  return { firstIndex: native.divergedIndex, exact: native.divergedExactly, minority: roster.namesOf(native.divergedMembers) };
}

function putBackOf({ putBack }: NativeGroup, roster: Roster): PutBack | null {
  if (putBack == null) return null;
  const { knownBy, knownTerm, knownIndex, hadTerm, hadIndex, sinceMs, settled } = putBack;
  return { knownBy: roster.nameOf(knownBy), knownTerm, knownIndex, hadTerm, hadIndex, sinceMs, settled };
}

/** Everyone in the table; how far they are is of group 0. */
function membersOf(native: NativeStatus, config: ResolvedConfig, roster: Roster, links: Links): MemberStatus[] {
  const group = native.groups[0];
  const leads = group?.role === 'leader';
  const traffic = trafficOf(native.links);
  const heard = new Map(group?.members.map((member) => [member.raftId, member]));
  return roster.members.map(({ id, address, role }): MemberStatus => {
    const own = id === config.nodeId;
    const known = heard.get(raftId(id));
    const linked = own ? 'ok' : links.health(id);
    return {
      id,
      address,
      role,
      // A leader that has not heard of a linked member within an election timeout suspects it.
      health: linked === 'ok' && leads && known?.active === false ? 'suspect' : linked,
      matchIndex: leads ? (known?.matchIndex ?? null) : own ? (group?.lastIndex ?? null) : null,
      refused: own ? null : links.refusal(id),
      traffic: traffic.get(raftId(id)) ?? null,
    };
  });
}

function laneOf(groups: readonly GroupStatus[]): Status['lanes']['ordered'] {
  if (groups.some((group) => group.leader === null)) return 'no-quorum';
  return groups.some((group) => group.appliedIndex < group.commitIndex) ? 'recovering' : 'ready';
}

function reasonsOf(native: NativeStatus, groups: readonly GroupStatus[], members: readonly MemberStatus[], links: Links, placing: Placing): string[] {
  const leaderless = groups.filter((group) => group.leader === null);
  const which = groups.length === 1 ? '' : ` of group ${leaderless.map(({ group }) => group).join(', ')}`;
  return [
    ...(groups[0]?.role === 'removed' ? ['MEMBER_REMOVED: this node was removed from its cluster'] : []),
    ...(leaderless.length === 0 ? [] : [`no leader${which} is known: ordered publishes wait`]),
    ...(native.diskFull ? ['DISK_FULL: the disk has no room; writes wait until it has'] : []),
    ...(native.clockAheadMs > LIMITS.clockAheadMsMax ? [`CLOCK_AHEAD: the clock of this node is ${Math.round(native.clockAheadMs / 1000)} s ahead of most other members'; it takes no events until it is set`] : []),
    ...(placing.waiting === 0 ? [] : [`events that were lowered to the causal lane wait for their places in the order: ${placing.waiting}`]),
    ...(placing.unreadable === null ? [] : [`events that were lowered before the last start may be without their places: ${placing.unreadable.code}: ${placing.unreadable.message}`]),
    ...groups.flatMap((group) => divergedReasons(group)),
    ...groups.flatMap(({ group, repair }) => (repair.waiting ? [waitingReason(group, repair)] : [])),
    ...groups.flatMap((group) => putBackReasons(group)),
    ...groups.flatMap(({ group, snapshot }) => (snapshot.failure === null ? [] : [`the last snapshot of group ${group} failed: ${snapshot.failure}`])),
    ...links.duplicates(),
    ...members.filter(({ role, health }) => role !== 'removed' && health !== 'ok').map((member) => memberReason(member, links)),
  ];
}

function memberReason({ id, health, refused }: MemberStatus, links: Links): string {
  if (links.saysRemoved(id)) return `member ${id} is ${health}: it refuses this node with MEMBER_REMOVED, which is not believed while there is a leader; is it of a cluster that was recovered apart?`;
  return `member ${id} is ${health}${links.isDuplicate(id) ? `: ${refused}` : ''}`;
}

function lackingReason({ name, counter }: NativeLane['lacking'][number]): string {
  return `the causal lane lacks entry ${counter} of ${name}, and no member that is connected has it: what follows it waits`;
}

function waitingReason(group: number, { firstIndex, lastIndex }: RepairStatus): string {
  const which = firstIndex === null ? '' : ` ${firstIndex} to ${lastIndex}`;
  return `group ${group} waits for entries${which} that damage has taken, from other members`;
}

function putBackReasons({ group, putBack }: GroupStatus): string[] {
  if (putBack === null || putBack.settled) return [];
  const { knownBy, knownTerm, knownIndex, hadTerm, hadIndex } = putBack;
  const term = knownTerm === 0n ? '' : ` of term ${knownTerm}`;
  const what = knownIndex === 0n ? '' : ` to entry ${hadIndex} of term ${hadTerm}, and ${knownBy} knows of entry ${knownIndex}${term}`;
  return [`the data directory was put back to an older state${what}: this node neither votes nor acknowledges in group ${group} until the others have settled it`];
}

function divergedReasons({ group, divergence, isolated }: GroupStatus): string[] {
  const own = isolated ? [`STATE_DIVERGED: this node keeps out of group ${group} until it is started again, since it has applied something else than a majority`] : [];
  if (divergence === null) return own;
  const { firstIndex, exact, minority } = divergence;
  const who = minority.length === 0 ? `members of group ${group} differ and no majority agrees` : `of group ${group}, ${minority.join(', ')} applied something else than a majority`;
  return [...own, `STATE_DIVERGED: ${who}, from entry ${firstIndex}${exact ? '' : ' or an earlier one'} on`];
}
