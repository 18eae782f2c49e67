import type { CausalLaneStatus, Divergence, GroupStatus, LinkStatus, MemberStatus, MemberTraffic, PutBack, RepairStatus, Role, Status } from '../contracts/index.js';
import type { WireDivergence, WireGroupStatus, WireMemberStatus, WirePutBack, WireRepair, WireStatus, WireTraffic } from './wire.js';

export function encodeStatus(status: Status): WireStatus {
  return {
    nodeId: status.nodeId,
    clusterId: status.clusterId,
    version: status.version,
    role: status.role,
    ...(status.leader === null ? {} : { leader: status.leader }),
    term: status.term.toString(),
    commitIndex: status.commitIndex.toString(),
    appliedIndex: status.appliedIndex.toString(),
    applyHash: status.applyHash,
    groups: status.groups.map(encodeGroup),
    members: status.members.map(encodeMember),
    orderedLane: status.lanes.ordered,
    networkProfile: status.network.profile,
    disk: {
      dataDir: status.disk.dataDir,
      logBytes: status.disk.logBytes.toString(),
      segments: status.disk.segments,
      heldBackBytes: status.disk.heldBackBytes.toString(),
      tornBytes: status.disk.tornBytes.toString(),
      syncP50Us: status.disk.syncP50Us,
      full: status.disk.full,
    },
    health: status.health.state,
    healthReasons: [...status.health.reasons],
    counters: { ...status.counters },
    causalLane: encodeCausalLane(status.lanes.causal),
  };
}

function encodeCausalLane({ actor, origins, pending }: CausalLaneStatus): WireStatus['causalLane'] {
  const rows = origins.map(({ name, delivered, held, known }) => ({ name, delivered: delivered.toString(), held: held.toString(), known: known.toString() }));
  return { actor: actor ?? '', origins: rows, pending };
}

function decodeCausalLane(wire: WireStatus['causalLane']): CausalLaneStatus {
  const { actor, origins, pending } = wire ?? { actor: '', origins: [], pending: 0 };
  const rows = origins.map(({ name, delivered, held, known }) => ({ name, delivered: BigInt(delivered), held: BigInt(held), known: BigInt(known) }));
  return { actor: actor === '' ? null : actor, origins: rows, pending };
}

export function decodeStatus(wire: WireStatus): Status {
  return {
    nodeId: wire.nodeId,
    clusterId: wire.clusterId,
    version: wire.version,
    role: wire.role as Role,
    leader: wire.leader ?? null,
    term: BigInt(wire.term),
    commitIndex: BigInt(wire.commitIndex),
    appliedIndex: BigInt(wire.appliedIndex),
    applyHash: wire.applyHash,
    groups: wire.groups.map(decodeGroup),
    members: wire.members.map(decodeMember),
    // A node of an earlier release does not say it, and goes by what is configured.
    network: { profile: wire.networkProfile === 'wan' ? 'wan' : 'lan' },
    lanes: { ordered: wire.orderedLane as Status['lanes']['ordered'], causal: decodeCausalLane(wire.causalLane), critical: null },
    disk: {
      dataDir: wire.disk?.dataDir ?? '',
      logBytes: BigInt(wire.disk?.logBytes ?? 0),
      segments: wire.disk?.segments ?? 0,
      heldBackBytes: BigInt(wire.disk?.heldBackBytes ?? 0),
      tornBytes: BigInt(wire.disk?.tornBytes ?? 0),
      syncP50Us: wire.disk?.syncP50Us ?? 0,
      full: wire.disk?.full ?? false,
    },
    health: { state: wire.health as Status['health']['state'], reasons: wire.healthReasons },
    counters: { ...wire.counters },
  };
}

function encodeGroup(group: GroupStatus): WireGroupStatus {
  return {
    group: group.group,
    role: group.role,
    ...(group.leader === null ? {} : { leader: group.leader }),
    term: group.term.toString(),
    commitIndex: group.commitIndex.toString(),
    appliedIndex: group.appliedIndex.toString(),
    applyHash: group.applyHash,
    events: group.events.toString(),
    lastIndex: group.lastIndex.toString(),
    firstIndex: group.firstIndex.toString(),
    snapshot: {
      index: group.snapshot.index.toString(),
      taken: group.snapshot.taken,
      installed: group.snapshot.installed,
      ...(group.snapshot.failure === null ? {} : { failure: group.snapshot.failure }),
    },
    voters: [...group.voters],
    outgoing: [...group.outgoing],
    learners: [...group.learners],
    electionTimeoutMs: [...group.electionTimeoutMs],
    consistencyPercentage: group.consistencyPercentage,
    ...(group.divergence === null ? {} : { divergence: encodeDivergence(group.divergence) }),
    isolated: group.isolated,
    repair: encodeRepair(group.repair),
    ...(group.putBack === null ? {} : { putBack: encodePutBack(group.putBack) }),
  };
}

function encodeRepair({ firstIndex, lastIndex, ...rest }: RepairStatus): WireRepair {
  const range = firstIndex === null || lastIndex === null ? {} : { firstIndex: firstIndex.toString(), lastIndex: lastIndex.toString() };
  return { ...rest, ...range };
}

function decodeRepair(wire: WireRepair | null | undefined): RepairStatus {
  return {
    waiting: wire?.waiting ?? false,
    firstIndex: wire?.firstIndex == null ? null : BigInt(wire.firstIndex),
    lastIndex: wire?.lastIndex == null ? null : BigInt(wire.lastIndex),
    repaired: wire?.repaired ?? 0,
    refused: wire?.refused ?? 0,
  };
}

function encodeDivergence({ firstIndex, exact, minority }: Divergence): WireDivergence {
  return { firstIndex: firstIndex.toString(), exact, minority: [...minority] };
}

function encodePutBack({ knownTerm, knownIndex, hadTerm, hadIndex, ...plain }: PutBack): WirePutBack {
  return { ...plain, knownTerm: knownTerm.toString(), knownIndex: knownIndex.toString(), hadTerm: hadTerm.toString(), hadIndex: hadIndex.toString() };
}

function decodePutBack({ knownTerm, knownIndex, hadTerm, hadIndex, ...plain }: WirePutBack): PutBack {
  return { ...plain, knownTerm: BigInt(knownTerm), knownIndex: BigInt(knownIndex), hadTerm: BigInt(hadTerm), hadIndex: BigInt(hadIndex) };
}

function decodeGroup(wire: WireGroupStatus): GroupStatus {
  return {
    group: wire.group,
    role: wire.role as Role,
    leader: wire.leader ?? null,
    term: BigInt(wire.term),
    commitIndex: BigInt(wire.commitIndex),
    appliedIndex: BigInt(wire.appliedIndex),
    applyHash: wire.applyHash,
    events: BigInt(wire.events),
    lastIndex: BigInt(wire.lastIndex),
    firstIndex: BigInt(wire.firstIndex),
    snapshot: {
      index: BigInt(wire.snapshot?.index ?? 0),
      taken: wire.snapshot?.taken ?? 0,
      installed: wire.snapshot?.installed ?? 0,
      failure: wire.snapshot?.failure ?? null,
    },
    voters: wire.voters,
    outgoing: wire.outgoing,
    learners: wire.learners,
    electionTimeoutMs: [wire.electionTimeoutMs[0] ?? 0, wire.electionTimeoutMs[1] ?? 0],
    // A node of an earlier release does not compare, and has found nothing.
    consistencyPercentage: wire.consistencyPercentage ?? 100,
    divergence: wire.divergence == null ? null : { ...wire.divergence, firstIndex: BigInt(wire.divergence.firstIndex) },
    isolated: wire.isolated,
    repair: decodeRepair(wire.repair),
    putBack: wire.putBack == null ? null : decodePutBack(wire.putBack),
  };
}

export function encodeMember(member: MemberStatus): WireMemberStatus {
  return {
    id: member.id,
    ...(member.address === null ? {} : { address: member.address }),
    role: member.role,
    health: member.health,
    ...(member.matchIndex === null ? {} : { matchIndex: member.matchIndex.toString() }),
    ...(member.refused === null ? {} : { refused: member.refused }),
    ...(member.traffic === null ? {} : { traffic: encodeTraffic(member.traffic) }),
  };
}

function encodeTraffic({ links, ...received }: MemberTraffic): WireTraffic {
  return { ...received, links: links.map(({ roundTrip, ...link }) => ({ ...link, ...(roundTrip === null ? {} : { roundTrip: { ...roundTrip } }) })) };
}

function decodeTraffic({ links, ...received }: WireTraffic): MemberTraffic {
  return { ...received, links: links.map(({ channel, roundTrip, ...link }) => ({ ...link, channel: channel as LinkStatus['channel'], roundTrip: roundTrip ?? null })) };
}

export function decodeMember(wire: WireMemberStatus): MemberStatus {
  return {
    id: wire.id,
    address: wire.address ?? null,
    role: wire.role as MemberStatus['role'],
    health: wire.health as MemberStatus['health'],
    matchIndex: wire.matchIndex === undefined ? null : BigInt(wire.matchIndex),
    refused: wire.refused ?? null,
    traffic: wire.traffic == null ? null : decodeTraffic(wire.traffic),
  };
}
