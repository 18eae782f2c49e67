import type { EventInput } from '../../dist/contracts/index.js';
import { Catalogue, CursorCodec, type DeliveryContext, EventIds, type SubmissionHeader, SubmissionWriter } from '../../dist/events/index.js';

export const catalogue = new Catalogue({ BackupDone: 0x1000 });

/** Ids from a clock that stands still and bytes that count: the same in every run. */
export function countingIds(nowMs = 1_700_000_000_000): EventIds {
  let next = 0;
  return new EventIds({
    nowMs: () => nowMs,
    fillRandom: (buffer) => {
      for (let at = 0; at < buffer.length; at++) buffer[at] = next++ & 0xff;
    },
  });
}

export const HEADER: SubmissionHeader = {
  level: 'linearizable',
  origin: 'node-a',
  group: 0,
  session: Uint8Array.from({ length: 16 }, (_, byte) => 0xa0 + byte),
  firstSequence: 7n,
  acknowledgedThrough: 5n,
  hlc: (1_700_000_000_000n << 16n) | 3n,
};

export const FULL_EVENT: EventInput = {
  id: '01890a5d-ac96-774b-bcce-b302099a8057',
  type: 'FilesystemRename',
  path: '/old/näme',
  to: '/new/name',
  payload: Uint8Array.of(0, 1, 254, 255),
  metadata: { op: 'rename', bytes: 12 },
  priority: 1,
  flags: 0x8000_0003,
  sourceId: 0xfedc_ba98_7654_3210n,
  context: { filesystem: { inode: 9 } },
};
export const SMALL_EVENT: EventInput = { id: '00000000-0000-4000-8000-000000000001', type: 0x1000 };

export const newWriter = (): SubmissionWriter => new SubmissionWriter(catalogue, countingIds());

export const deliveryContext: DeliveryContext = { catalogue, cursors: new CursorCodec('vexfs'), group: 0, consumer: null };

/** Packed deliveries as the core hands them out, of events packed by the writer; index 12, term 3. */
export function packDeliveries(events: readonly EventInput[], header: SubmissionHeader = HEADER): Buffer {
  const submission = Buffer.from(newWriter().packEvents({ ...header, events }).bytes);
  const origin = Buffer.from(header.origin);
  const parts: Buffer[] = [];
  let at = 72 + origin.length;
  for (let offset = 0; offset < events.length; offset++) {
    const record = submission.subarray(at, at + submission.readUInt32LE(at));
    const item = Buffer.alloc(60);
    item.writeUInt32LE(60 + origin.length + record.length, 0);
    item.writeUInt32LE(offset, 4);
    item.writeBigUInt64LE(12n, 8);
    item.writeBigUInt64LE(3n, 16);
    item.writeBigUInt64LE(header.hlc + BigInt(offset), 24);
    item.writeBigUInt64LE(header.session === null ? 0n : header.firstSequence + BigInt(offset), 32);
    item.set(header.session ?? [], 40);
    item[56] = 4;
    item[57] = origin.length;
    parts.push(item, origin, record);
    at += record.length;
  }
  const head = Buffer.alloc(32);
  head.writeBigUInt64LE(12n, 0);
  head.writeUInt32LE(events.length, 8);
  head.writeUInt32LE(events.length, 12);
  head.writeBigUInt64LE(20n, 16);
  return Buffer.concat([head, ...parts]);
}
