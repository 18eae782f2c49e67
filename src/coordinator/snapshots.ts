/** Snapshots handed out: taken by the core, read from its file. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { SnapshotStream, WaitOptions } from '../contracts/index.js';
import { checkTimeout, CoordinatorError } from '../errors/index.js';
import { type Core, END } from '../native/index.js';
import { groupOf } from './groups.js';
import type { Requests } from './requests.js';

export interface SnapshotPorts {
  readonly core: Core;
  readonly requests: Requests;
  readonly dataDir: string;
  readonly groups: number;
  readonly timeoutMs: number;
}

/** A newer snapshot may take the place of the one that was taken before it is opened; more often than this would be strange. */
const ATTEMPTS = 5;
const CHUNK_BYTES = 256 * 1024;

export class Snapshots {
  readonly #ports: SnapshotPorts;

  constructor(ports: SnapshotPorts) {
    this.#ports = ports;
  }

  async save(options: WaitOptions): Promise<SnapshotStream> {
    const { core, requests, dataDir, groups } = this.#ports;
    const group = groupOf(options.group, groups);
    const timeoutMs = checkTimeout(options.timeoutMs ?? this.#ports.timeoutMs);
    for (let attempt = 1; ; attempt++) {
      const end = await requests.make({ what: 'the snapshot', group, timeoutMs, signal: options.signal, reads: true }, (request) => core.takeSnapshot(request, group));
      if (end.kind !== END.snapshotTaken) throw new CoordinatorError('SNAPSHOT_FAILED', `the snapshot of group ${group} could not be taken: ${end.reason.text}`);
      try {
        return await streamOf(join(dataDir, fileName(group, end.index)), group, end.index);
      } catch (cause) {
        const gone = (cause as NodeJS.ErrnoException).code === 'ENOENT' && attempt < ATTEMPTS;
        if (!gone) throw new CoordinatorError('SNAPSHOT_FAILED', `the snapshot of group ${group} at index ${end.index} cannot be read: ${(cause as Error).message}`, { cause });
      }
    }
  }
}

/** The name that the core gives a snapshot's file (docs/formats.md, "Snapshot file"). */
function fileName(group: number, index: bigint): string {
  return `snapshot-${String(group).padStart(4, '0')}-${String(index).padStart(20, '0')}.snap`;
}

/** An open file stays whole, also when the core lets go of it meanwhile. */
async function streamOf(path: string, group: number, index: bigint): Promise<SnapshotStream> {
  const file = await open(path, 'r');
  const { size } = await file.stat();
  return { group, index, bytes: size, chunks: file.createReadStream({ highWaterMark: CHUNK_BYTES }), close: () => file.close() };
}
