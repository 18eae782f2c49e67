/** What passes between this node and each other member, as the core counts it. */
import type { LinkStatus, MemberTraffic, RoundTrip } from '../contracts/index.js';
import type { NativeLink } from '../native/index.js';

/** By raft id; whoever is not dialled has none. */
export function trafficOf(links: readonly NativeLink[]): ReadonlyMap<bigint, MemberTraffic> {
  const byMember = new Map<bigint, { receivedBytes: number; receivedFrames: number; links: LinkStatus[] }>();
  for (const link of links) {
    const { raftId, receivedBytes, receivedFrames } = link;
    const traffic = byMember.get(raftId) ?? { receivedBytes, receivedFrames, links: [] };
    traffic.links.push(linkOf(link));
    byMember.set(raftId, traffic);
  }
  return byMember;
}

function linkOf(link: NativeLink): LinkStatus {
  const { channel, up, blocked, connections, waitingBytes, sentBytes, sentFrames, sentBatches, droppedFrames, waitingUs } = link;
  return { channel: channel === 0 ? 'urgent' : 'bulk', up, blocked, connections, waitingBytes, sentBytes, sentFrames, sentBatches, droppedFrames, roundTrip: roundTripOf(link), unansweredUs: waitingUs };
}

function roundTripOf({ answers, leastUs, p50Us, p99Us, smoothedUs, deviationUs, clockOffsetMs }: NativeLink): RoundTrip | null {
  return answers === 0 ? null : { answers, leastUs, p50Us, p99Us, smoothedUs: Math.round(smoothedUs), deviationUs: Math.round(deviationUs), clockOffsetMs };
}
