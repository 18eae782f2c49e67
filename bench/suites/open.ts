import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Suite } from '../context.js';
import { Member } from '../member.js';
import type { OpenedLog } from '../node/commands.js';
import { closeRoom, openRoom } from '../rooms.js';

const EVENTS = 10_000_000;
const QUICK_EVENTS = 500_000;
const COMMAND = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const run = promisify(execFile);

export const open: Suite = {
  name: 'open',
  summary: `a log of ${EVENTS.toLocaleString('en-US')} events opened, and verified`,
  async run({ options, report, progress }) {
    const events = options.quick ? QUICK_EVENTS : EVENTS;
    const dataDir = openRoom(options.directory, 'open');
    try {
      progress(`  filling a log with ${events.toLocaleString('en-US')} events`);
      const logBytes = await within((member) => member.call('fillLog', { dataDir, events }));
      report.add('open', 'open.log.bytes', logBytes, 'bytes');

      for (const cache of ['warm', 'cold'] as const) {
        const opened: OpenedLog[] = [];
        for (let round = 1; round <= options.rounds; round++) {
          progress(`  round ${round} of ${options.rounds}: opening, page cache ${cache}`);
          await prepare(cache, dataDir);
          opened.push(await within((member) => member.call('openLog', { dataDir })));
        }
        const times = { answers: 'answersMs', log: 'logMs', state: 'stateMs', applied: 'appliedMs' } as const;
        for (const [name, field] of Object.entries(times)) report.addRounds('open', `open.${cache}.${name}`, opened.map((one) => one[field]), 'ms');
        if (cache === 'warm') {
          report.addRounds('open', 'open.segments', opened.map(({ segments }) => segments), 'count');
          report.addRounds('open', 'open.resident', opened.map(({ residentAfter }) => residentAfter), 'bytes');
          report.addRounds('open', 'open.residentBefore', opened.map(({ residentBefore }) => residentBefore), 'bytes');
        }
      }

      for (const cache of ['warm', 'cold'] as const) {
        const rates: number[] = [];
        for (let round = 1; round <= options.rounds; round++) {
          progress(`  round ${round} of ${options.rounds}: log verify, page cache ${cache}`);
          await prepare(cache, dataDir);
          const began = performance.now();
          await run(process.execPath, [COMMAND, 'log', 'verify', '--data-dir', dataDir, '--output', 'json']);
          rates.push(logBytes / ((performance.now() - began) / 1000));
        }
        report.addRounds('open', `verify.${cache}.rate`, rates, 'bytes/s');
      }
    } finally {
      closeRoom(dataDir);
    }
  },
};

/** Runs `work` in a process of its own that knows nothing yet. */
async function within<T>(work: (member: Member) => Promise<T>): Promise<T> {
  const member = new Member('open');
  try {
    return await work(member);
  } finally {
    await member.close();
  }
}

/** Brings the log's files into the page cache, or out of it. */
async function prepare(cache: 'warm' | 'cold', dataDir: string): Promise<void> {
  for (const name of readdirSync(dataDir)) {
    const file = join(dataDir, name);
    // With `count=0` dd reads nothing, and `nocache` then lets go of the whole file.
    const how = cache === 'warm' ? ['of=/dev/null', 'bs=1M'] : ['iflag=nocache', 'count=0'];
    await run('dd', [`if=${file}`, ...how, 'status=none']);
  }
}
