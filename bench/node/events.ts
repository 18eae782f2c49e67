/** The events that loops publish: 256 bytes of payload each. */
import { randomBytes, randomFillSync } from 'node:crypto';
import type { EventInput } from '../../dist/index.js';
import { recorded } from '../recorded.js';
import type { EventShape } from './commands.js';

export const PAYLOAD_BYTES = 256;

const payload = randomBytes(PAYLOAD_BYTES);
const PLAIN: EventInput = { type: 'FilesystemWrite', payload };
const random = Buffer.alloc(16 * 256);
let used = random.length;

/** The source of one loop's batches. */
export class EventSource {
  readonly #shape: EventShape;
  readonly #plain: readonly EventInput[];
  readonly #recorded: readonly EventInput[];
  readonly #batch: number;
  #next = 0;

  constructor(shape: EventShape, batch: number) {
    this.#shape = shape;
    this.#batch = batch;
    this.#plain = Array.from({ length: batch }, () => PLAIN);
    this.#recorded = shape === 'recorded' ? recorded(PAYLOAD_BYTES) : [];
  }

  /** A batch; plain ones share their events, as nothing in them differs but the id that the coordinator makes. */
  batch(): readonly EventInput[] {
    return this.#shape === 'plain' ? this.#plain : Array.from({ length: this.#batch }, () => this.one());
  }

  one(): EventInput {
    if (this.#shape === 'plain') return PLAIN;
    const sourceId = this.#next++;
    if (this.#shape === 'recorded') return this.#recorded[sourceId % this.#recorded.length]!;
    return {
      id: freshId(),
      type: 'FilesystemWrite',
      path: `/bench/directory-${sourceId & 15}/file-${sourceId & 1023}`,
      payload,
      metadata: { bytes: PAYLOAD_BYTES, offset: sourceId },
      priority: 2,
      flags: 0x80,
      sourceId: BigInt(sourceId),
      context: { filesystem: { inode: sourceId & 1023 } },
    };
  }
}

/** A version 7 UUID made by the caller, which is what a program that retries over processes does. */
export function freshId(): string {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  const noise = random.toString('hex', used, used + 10);
  used += 16;
  const time = Date.now().toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${noise.slice(0, 3)}-8${noise.slice(3, 6)}-${noise.slice(6, 18)}`;
}
