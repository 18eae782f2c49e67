/** Limits of the first release; docs/limits.md is their document. Sizes are in bytes. */
export const LIMITS = {
  payloadBytesMax: 1024 * 1024,
  batchBytesMax: 8 * 1024 * 1024,
  batchEventsMax: 65_535,
  pathBytesMax: 4096,
  metadataBytesMax: 64 * 1024,
  contextBytesMax: 64 * 1024,
  jsonLevelsMax: 256,
  consumerNameBytesMax: 256,
  nodeIdBytesMax: 64,
  votersMax: 7,
  membersMax: 64,
  groupsMax: 64,
  sessionsMax: 10_000,
  unplacedEventsMax: 65_536,
  followedActorsMax: 4096,
  timeoutMsMax: 2_000_000_000,
} as const;
