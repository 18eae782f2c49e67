/** Messages of proto/coordinator.proto as proto-loader hands them over: u64 as decimal strings, absent optional fields as absent. */
import type { LinkStatus, RoundTrip } from '../contracts/index.js';

export interface WireError {
  code: string;
  message: string;
  committed: string;
}

export interface WireEvent {
  id?: string;
  name?: string;
  code?: number;
  path?: string;
  to?: string;
  payload?: Uint8Array;
  metadataJson?: string;
  priority?: number;
  flags?: number;
  sourceId?: string;
  contextJson?: string;
}

export interface WirePublishOptions {
  consistency?: string | number;
  critical?: boolean;
  group?: number;
  timeoutMs?: number;
  quorumSize?: number;
  quorumAll?: boolean;
  after?: string;
  protocol?: string;
  maxStalenessMs?: number;
  attempted?: boolean;
}

export interface WireClock {
  counters: Record<string, string>;
}

export interface WireReceipt {
  eventId: string;
  level: string;
  requestedLevel: string;
  lane: string;
  group: number;
  index: string;
  offset: number;
  term: string;
  cursor: string;
  durableMembers: number;
  clock?: WireClock;
  hlc: string;
  degraded: boolean;
  rule?: string;
  certificate?: string;
  duplicate: boolean;
  latencyUs: string;
}

export interface WirePublishRequest {
  event?: WireEvent | null;
  options?: WirePublishOptions | null;
}

export interface WirePublishResponse {
  receipt: WireReceipt | null;
}

export interface WirePublishBatchRequest {
  events: WireEvent[];
  options?: WirePublishOptions | null;
}

export interface WirePublishResult {
  number: string;
  receipt?: WireReceipt;
  error?: WireError;
}

export interface WirePublishResults {
  results: WirePublishResult[];
}

export interface WirePublishStreamRequest {
  options?: WirePublishOptions | null;
  events: { number: string; event: WireEvent | null }[];
}

export interface WireWhere {
  types?: string[];
  paths?: string[];
}

export interface WireSubscribeStart {
  from?: string;
  where?: WireWhere | null;
  consumer?: string;
  group?: number;
  lane?: string;
}

export interface WireSubscribeRequest {
  start?: WireSubscribeStart;
  acknowledge?: { number: string };
}

export interface WireOrderedEvent {
  id: string;
  type: string;
  code: number;
  origin: string;
  session?: string;
  sequence: string;
  path?: string;
  to?: string;
  payload: Uint8Array;
  metadataJson?: string;
  priority: number;
  flags: number;
  sourceId?: string;
  contextJson?: string;
  hlc: string;
}

export interface WireDelivery {
  number: string;
  cursor: string;
  index: string;
  offset: number;
  term: string;
  group: number;
  lane: string;
  level: string;
  redelivered: boolean;
  fencingToken?: string;
  clock?: WireClock;
  headOnly: boolean;
  event: WireOrderedEvent | null;
}

export interface WireSubscribeResponse {
  deliveries: WireDelivery[];
  acknowledged: string;
}

export interface WireCausalKey {
  id: string;
  cursor?: string;
}

export interface WireRelationRequest {
  one?: WireCausalKey | null;
  other?: WireCausalKey | null;
}

export interface WireRelationResponse {
  relation: string;
}

export interface WireRelatedEventsRequest {
  event?: WireCausalKey | null;
  relation?: string;
  where?: WireWhere | null;
  from?: string;
  direct?: boolean;
}

export interface WireRelatedEventsResponse {
  deliveries: WireDelivery[];
  complete?: boolean;
}

export interface WireReadRequest {
  key: string;
  group: number;
}

export interface WireReadResponse {
  delivery: WireDelivery | null;
}

export interface WireReadBarrierRequest {
  group: number;
  timeoutMs: number;
  after?: string;
}

export interface WireReadBarrierResponse {
  appliedIndex: string;
}

export interface WireOutcomeRequest {
  eventId: string;
  group: number;
  timeoutMs: number;
}

export interface WireOutcomeResponse {
  state: string;
  receipt: WireReceipt | null;
}

export interface WireDivergence {
  firstIndex: string;
  exact: boolean;
  minority: string[];
}

export interface WireRepair {
  waiting: boolean;
  firstIndex?: string;
  lastIndex?: string;
  repaired: number;
  refused: number;
}

export interface WirePutBack {
  knownBy: string;
  knownTerm: string;
  knownIndex: string;
  hadTerm: string;
  hadIndex: string;
  sinceMs: number;
  settled: boolean;
}

export interface WireGroupStatus {
  group: number;
  role: string;
  leader?: string;
  term: string;
  commitIndex: string;
  appliedIndex: string;
  applyHash: string;
  events: string;
  lastIndex: string;
  firstIndex: string;
  electionTimeoutMs: number[];
  snapshot: { index: string; taken: number; installed: number; failure?: string } | null;
  voters: string[];
  outgoing: string[];
  learners: string[];
  consistencyPercentage?: number;
  divergence?: WireDivergence | null;
  isolated: boolean;
  repair?: WireRepair | null;
  putBack?: WirePutBack | null;
}

export interface WireMemberStatus {
  id: string;
  address?: string;
  role: string;
  health: string;
  matchIndex?: string;
  refused?: string;
  traffic?: WireTraffic | null;
}

export interface WireTraffic {
  receivedBytes: number;
  receivedFrames: number;
  links: WireLink[];
}

export interface WireLink extends Omit<LinkStatus, 'channel' | 'roundTrip'> {
  channel: string;
  roundTrip?: RoundTrip | null;
}

export interface WireStatus {
  nodeId: string;
  clusterId: string;
  version: string;
  role: string;
  leader?: string;
  term: string;
  commitIndex: string;
  appliedIndex: string;
  applyHash: string;
  groups: WireGroupStatus[];
  members: WireMemberStatus[];
  orderedLane: string;
  networkProfile: string;
  disk: { dataDir: string; logBytes: string; segments: number; heldBackBytes: string; tornBytes: string; syncP50Us: number; full: boolean } | null;
  health: string;
  healthReasons: string[];
  counters: Record<string, number>;
  causalLane: { actor: string; origins: { name: string; delivered: string; held: string; known: string }[]; pending: number } | null;
}

export interface WireChangeMembersRequest {
  add?: { id: string; address: string };
  promote?: string;
  remove?: string;
  replace?: { oldId: string; newId: string };
  timeoutMs: number;
}

export interface WireMembersResponse {
  members: WireMemberStatus[];
  index: string;
  settled: boolean;
}

export interface WireSetReplicationRequest {
  rulesJson: string;
  timeoutMs: number;
}

export interface WireReplicationResponse {
  version: string;
  rulesJson: string;
}

export interface WireTransferLeadershipRequest {
  to: string;
  group?: number;
  timeoutMs: number;
}

export interface WireSaveSnapshotRequest {
  group: number;
  timeoutMs: number;
}

export interface WireSaveSnapshotResponse {
  head?: { group: number; index: string; bytes: string };
  data?: Uint8Array;
}
