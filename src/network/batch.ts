import type { Channel } from './port.js';

const RUN_HEADER_BYTES = 8;

/**
 * Splits an outbound batch (docs/formats.md) into its runs of frames, as views into it.
 * The core made the batch in this process: one that does not add up is a bug, and thrown.
 */
export function eachRun(batch: Buffer, onRun: (slot: number, channel: Channel, bytes: Buffer) => void): void {
  let at = 0;
  while (at < batch.length) {
    if (batch.length - at < RUN_HEADER_BYTES) throw new RangeError(`outbound batch: ${batch.length - at} bytes left where a run begins`);
    const channel = batch.readUInt8(at);
    const slot = batch.readUInt16LE(at + 2);
    const start = at + RUN_HEADER_BYTES;
    const end = start + batch.readUInt32LE(at + 4);
    if (channel > 1 || end > batch.length) throw new RangeError(`outbound batch: run at ${at}, channel ${channel}, ends at ${end} of ${batch.length}`);
    onRun(slot, channel as Channel, batch.subarray(start, end));
    at = end;
  }
}
