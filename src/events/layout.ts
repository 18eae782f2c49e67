/** Byte offsets of docs/formats.md, version 1; all integers are little-endian. */

export const RECORD = {
  length: 0,
  code: 4,
  priority: 6,
  presence: 7,
  flags: 8,
  metadataBytes: 12,
  payloadBytes: 16,
  pathBytes: 20,
  toBytes: 22,
  id: 24,
  sourceId: 40,
  contextBytes: 48,
  reserved: 52,
  body: 56,
} as const;

export const PRESENT = { path: 1, to: 2, metadata: 4, sourceId: 8, context: 16 } as const;

export const SUBMISSION = {
  version: 0,
  kind: 1,
  level: 2,
  originBytes: 3,
  length: 4,
  group: 8,
  count: 12,
  session: 16,
  firstSequence: 32,
  acknowledgedThrough: 40,
  originMember: 48,
  request: 56,
  hlc: 64,
  body: 72,
} as const;

export const SUBMISSION_VERSION = 1;
/** Between the origin's name and the events stands what they follow in the causal lane. */
export const FOLLOWING_VERSION = 2;
export const SUBMISSION_KIND = { events: 1, skip: 2, fence: 3, consumerAttach: 4, consumerClaim: 5, consumerAcknowledge: 6 } as const;

/** Body of the consumer kinds; the name follows. */
export const CONSUMER = { epoch: 0, index: 8, offset: 16, reserved: 20, name: 24 } as const;

export const DELIVERIES = { nextIndex: 0, nextOffset: 8, count: 12, appliedIndex: 16, flags: 24, items: 32 } as const;
/** Flag of packed deliveries: what comes next waits for what it follows in the causal lane. */
export const WAITS = 1;

/** Packed causal deliveries: the head, one block an entry, a row for each origin that has moved. */
export const CAUSAL = { blocks: 0, moved: 4, first: 8 } as const;
export const CAUSAL_BLOCK = { length: 0, origin: 4, clockRows: 6, counter: 8, events: 16, entryEvents: 20, clock: 24 } as const;
/** u16 origin, u64 counter. */
export const CAUSAL_ROW_BYTES = 10;

export const DELIVERY = {
  length: 0,
  offset: 4,
  index: 8,
  term: 16,
  hlc: 24,
  sequence: 32,
  session: 40,
  level: 56,
  originBytes: 57,
  flags: 58,
  body: 60,
} as const;
