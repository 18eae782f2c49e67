/** The runs, by name: what the command and the tests choose from. */
import { missing } from '../support/hosts/tools.js';
import type { Context, Figures } from './context.js';
import { cut } from './cut.js';
import { far } from './far.js';
import { flip } from './flip.js';
import { kills } from './kills.js';
import { lostAnswers } from './lost-answers.js';
import { seven } from './seven.js';

export interface RunOptions {
  /** Seconds instead of minutes: the sizes of the tests. */
  readonly quick: boolean;
  readonly rounds?: number;
  readonly publishes?: number;
  readonly settles?: number;
  readonly operations?: number;
}

export interface Run {
  readonly name: string;
  readonly summary: string;
  /** Why it cannot be run on this machine; null where it can. Absent where it always can. */
  missing?(): string | null;
  run(context: Context, options: RunOptions): Promise<Figures>;
}

export const RUNS: readonly Run[] = [
  {
    name: 'kills',
    summary: '200 rounds (--rounds) of SIGKILL to one, two or all of three members under publishing that never stops',
    run: (context, { quick, rounds }) => kills(context, { rounds: rounds ?? (quick ? 10 : 200) }),
  },
  {
    name: 'cut',
    summary: "the last segment cut at every byte of its last batch, each opened; 24 of them (--settles) settle with the others' files",
    run: (context, { quick, settles }) => cut(context, { step: quick ? 16 : 1, settles: settles ?? (quick ? 2 : 24) }),
  },
  {
    name: 'flip',
    summary: 'a byte flipped in every record of a sealed middle segment, one at a time, and repaired from the others',
    run: (context, { quick }) =>
      flip(context, quick ? { segmentBytes: 64 * 1024, records: 4, commands: 1 } : { segmentBytes: 256 * 1024, records: null, commands: 20 }),
  },
  {
    name: 'lost-answers',
    summary: '100,000 publishes (--publishes) through a relay that loses one answer in ten, tried again under the same id',
    run: (context, { quick, publishes }) => lostAnswers(context, { publishes: publishes ?? (quick ? 5000 : 100_000) }),
  },
  {
    name: 'seven',
    summary: 'seven members replay the recorded git session (--operations) while three are killed at a time and members change',
    run: (context, { quick, operations }) => seven(context, { operations: operations ?? (quick ? 1500 : null) }),
  },
  {
    name: 'far',
    summary: 'ten minutes (--rounds) of five members in three regions, 20 to 150 ms apart, that lose a packet in a hundred, without an election; needs root',
    missing,
    run: (context, { quick, rounds }) => far(context, { rounds: rounds ?? (quick ? 1 : 10), roundMs: quick ? 15_000 : 60_000 }),
  },
];
