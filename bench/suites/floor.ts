import type { Suite } from '../context.js';
import { Floor, type FloorTimes } from '../floor.js';

export const floor: Suite = {
  name: 'floor',
  summary: 'fdatasync of 4 KiB and a TCP round trip of 256 bytes between two processes',
  async run({ options, report, progress }) {
    const measured: FloorTimes[] = [];
    const probe = await Floor.open(options.directory, options.quick ? 100 : 500);
    try {
      for (let round = 1; round <= options.rounds; round++) {
        progress(`  round ${round} of ${options.rounds}`);
        measured.push(await probe.measure());
      }
    } finally {
      await probe.close();
    }
    report.addRounds('floor', 'floor.fdatasync.p50', measured.map(({ append }) => append), 'ms');
    report.addRounds('floor', 'floor.fdatasyncOverwrite.p50', measured.map(({ overwrite }) => overwrite), 'ms');
    report.addRounds('floor', 'floor.roundtrip.p50', measured.map(({ roundTrip }) => roundTrip), 'ms');
  },
};
