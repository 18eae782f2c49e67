/** A long log: filled fast, and opened with a watch on it. */
import { readFileSync } from 'node:fs';
import type { EventInput } from '../../dist/index.js';
import { Core, END, TAKEN } from '../../dist/native/index.js';
import { coreOptions, SingleCore } from '../single-core.js';
import type { FillLog, OpenedLog } from './commands.js';

const BATCH = 256;
const IN_FLIGHT = 64;
const PAYLOAD_BYTES = 96;
/** Any id: what is asked is whether there is an answer. */
const NO_EVENT = new Uint8Array(16).fill(1);

/** About 200 bytes each, header included: what a file system's writes look like. */
const EVENTS: readonly EventInput[] = Array.from({ length: BATCH }, (_, at) => ({
  type: 'FilesystemWrite',
  path: `/projects/vexfs/src/module-${at % 16}/file-${at}.ts`,
  payload: Buffer.alloc(PAYLOAD_BYTES, at),
}));

export async function fillLog({ dataDir, events }: FillLog): Promise<number> {
  const core = await SingleCore.open(dataDir);
  try {
    for (let batches = Math.ceil(events / BATCH); batches > 0; batches--) {
      await core.room(IN_FLIGHT);
      core.submit(core.pack(EVENTS));
    }
    await core.drained();
    return core.logBytes;
  } finally {
    await core.close();
  }
}

export async function openLog(dataDir: string): Promise<OpenedLog> {
  const keepsAlive = setInterval(() => {}, 1000);
  const residentBefore = resident();
  const began = performance.now();
  const core = await Core.open(coreOptions(dataDir));
  try {
    const asked: (() => void)[] = [];
    core.attach(({ kind }) => {
      if (kind === END.place) asked.shift()?.();
    });
    // The second one is taken after a whole turn of the protocol thread, in which a vote would have been answered too.
    for (let request = 1; request <= 2; request++) {
      await new Promise<void>((resolve) => {
        asked.push(resolve);
        if (core.find(request, 0, NO_EVENT) !== TAKEN.yes) throw new Error('the core takes no request');
      });
    }
    const answersMs = performance.now() - began;
    let [group] = core.status().groups;
    // Alone, the member leads itself after an election timeout; what it has applied before is what the log had committed.
    while (group !== undefined && (group.commitIndex > group.appliedIndex || group.commitIndex === 0n)) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      [group] = core.status().groups;
    }
    const appliedMs = performance.now() - began;
    const { segments } = core.status();
    return {
      logMs: core.openedUs.log / 1000,
      stateMs: core.openedUs.state / 1000,
      answersMs,
      appliedMs,
      appliedIndex: group?.appliedIndex ?? 0n,
      events: group?.events ?? 0n,
      segments,
      residentBefore,
      residentAfter: resident(),
    };
  } finally {
    clearInterval(keepsAlive);
    await core.close();
  }
}

/** Bytes. */
function resident(): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(line?.[1] ?? 0) * 1024;
}
