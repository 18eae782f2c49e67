/** The machine that the figures come from, and whether it was busy with something else. */
import { createHash } from 'node:crypto';
import { readFileSync, statfsSync } from 'node:fs';
import { cpus } from 'node:os';
import { median } from './samples.js';

/** By their magic numbers (statfs(2)). */
const FILESYSTEMS: ReadonlyMap<number, string> = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x2fc12fc1, 'zfs'],
  [0xf2f52010, 'f2fs'],
  [0x01021994, 'tmpfs'],
  [0x794c7630, 'overlayfs'],
  [0x6969, 'nfs'],
]);

/** Share of the processors that others may use before the figures carry a warning. */
const FOREIGN_MAX = 0.1;
/** How far two calibrations may lie apart. */
const DRIFT_MAX = 0.15;
/** Linux counts processor time in hundredths of a second, whatever the kernel was built with. */
const TICKS_PER_SECOND = 100;

interface Moment {
  readonly loadavg: string;
  readonly spinMs: number;
  /** Seconds since boot, over all processors; null where there is no /proc. */
  readonly busyS: number | null;
  readonly allS: number;
  readonly stolenS: number;
  /** Of this process and of its children that have ended. */
  readonly ownS: number;
}

/** Taken at the start; `verdict` compares with the end. */
export class Machine {
  readonly #start = moment();

  /** Sentences about the run; the first is a warning when the figures are not to be trusted. Call it when all children have ended. */
  verdict(): string[] {
    const start = this.#start;
    const end = moment();
    const notes = [`load average ${start.loadavg} at the start, ${end.loadavg} at the end; calibration ${start.spinMs.toFixed(2)} and ${end.spinMs.toFixed(2)} ms.`];
    const reasons: string[] = [];
    if (Math.abs(start.spinMs - end.spinMs) / Math.min(start.spinMs, end.spinMs) > DRIFT_MAX) reasons.push('the calibration changed during the run');
    if (start.busyS !== null && end.busyS !== null) {
      const all = end.allS - start.allS;
      const foreign = Math.max(0, end.busyS - start.busyS - (end.ownS - start.ownS)) / all;
      const stolen = (end.stolenS - start.stolenS) / all;
      notes.push(`Other processes and the kernel's own threads used ${percent(foreign)} of the processors, the hypervisor took ${percent(stolen)}.`);
      if (foreign + stolen > FOREIGN_MAX) reasons.push(`others used ${percent(foreign + stolen)} of the processors`);
    }
    return reasons.length === 0 ? notes : [`The machine was BUSY (${reasons.join('; ')}): repeat the run when it is quiet.`, ...notes];
  }
}

/** What the data directory lies on. */
export function filesystemOf(directory: string): string {
  const type = Number(statfsSync(directory).type);
  return FILESYSTEMS.get(type) ?? `filesystem 0x${type.toString(16)}`;
}

export function describeMachine(): string {
  const all = cpus();
  return `${all.length} processors (${all[0]?.model.trim() ?? 'unknown'}), Node ${process.versions.node}, ${process.platform}-${process.arch}.`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function moment(): Moment {
  const spinMs = calibrate();
  try {
    const stat = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!.trim().split(/\s+/).slice(1).map(Number);
    const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = stat;
    // utime, stime, cutime and cstime are the fields 14 to 17; the name before them may hold spaces.
    const own = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)!.split(' ').slice(11, 15).map(Number);
    const busy = user + nice + system + irq + softirq;
    return {
      loadavg: readFileSync('/proc/loadavg', 'utf8').split(' ').slice(0, 3).join(' '),
      spinMs,
      busyS: busy / TICKS_PER_SECOND,
      allS: (busy + idle + iowait + steal) / TICKS_PER_SECOND,
      stolenS: steal / TICKS_PER_SECOND,
      ownS: own.reduce((sum, ticks) => sum + ticks, 0) / TICKS_PER_SECOND,
    };
  } catch {
    return { loadavg: 'unknown', spinMs, busyS: null, allS: 0, stolenS: 0, ownS: 0 };
  }
}

/** Milliseconds that a fixed piece of work takes. */
function calibrate(): number {
  const block = Buffer.alloc(1 << 20, 7);
  const times: number[] = [];
  for (let round = 0; round < 41; round++) {
    const began = performance.now();
    createHash('sha256').update(block).digest();
    times.push(performance.now() - began);
  }
  return median(times);
}
