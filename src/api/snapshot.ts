/** A snapshot received over the network. */
import type { ClientReadableStream } from '@grpc/grpc-js';
import type { SnapshotStream } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { fromStatus } from './codec-error.js';
import type { WireSaveSnapshotResponse } from './wire.js';

/** Resolves once the node has said what it sends; the chunks end with an error where fewer or more bytes come than it said. */
export async function remoteSnapshot(call: ClientReadableStream<WireSaveSnapshotResponse>): Promise<SnapshotStream> {
  const parts = (call as AsyncIterable<WireSaveSnapshotResponse>)[Symbol.asyncIterator]();
  const next = async () => {
    try {
      return await parts.next();
    } catch (thrown) {
      throw fromStatus(thrown);
    }
  };
  const first = await next();
  const head = first.done === true ? undefined : first.value.head;
  if (head === undefined) throw new CoordinatorError('UNAVAILABLE', 'the node did not say what it sends', { committed: 'no' });
  const bytes = Number(head.bytes);
  async function* chunks(): AsyncGenerator<Uint8Array> {
    let received = 0;
    for (let part = await next(); part.done !== true; part = await next()) {
      const data = part.value.data ?? new Uint8Array();
      received += data.length;
      yield data;
    }
    if (received !== bytes) throw new CoordinatorError('UNAVAILABLE', `the snapshot has ${bytes} bytes, and ${received} came`, { committed: 'no' });
  }
  return { group: head.group, index: BigInt(head.index), bytes, chunks: chunks(), close: async () => call.cancel() };
}
