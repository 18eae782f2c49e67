import { once } from 'node:events';
import type { ServerWritableStream } from '@grpc/grpc-js';
import type { CoordinatorNode } from '../../contracts/node.js';
import { toStatus } from '../codec-error.js';
import type { WireSaveSnapshotRequest, WireSaveSnapshotResponse } from '../wire.js';
import { contextOf, wellFormed } from './context.js';

type Call = ServerWritableStream<WireSaveSnapshotRequest, WireSaveSnapshotResponse>;

/** Sends a snapshot's file as fast as the client takes it. */
export const saveSnapshotHandler = (node: CoordinatorNode) => (call: Call) => {
  send(node, call).catch((error) => call.emit('error', toStatus(error)));
};

async function send(node: CoordinatorNode, call: Call): Promise<void> {
  const { context } = contextOf(call);
  const { group, timeoutMs } = wellFormed(call.request);
  const snapshot = await node.saveSnapshot({ group, ...context.timeout(timeoutMs), signal: context.signal });
  try {
    call.write({ head: { group: snapshot.group, index: snapshot.index.toString(), bytes: String(snapshot.bytes) } });
    for await (const data of snapshot.chunks) {
      if (context.signal.aborted) return;
      if (!call.write({ data })) await Promise.race([once(call, 'drain'), once(context.signal, 'abort')]);
    }
    call.end();
  } finally {
    await snapshot.close();
  }
}
