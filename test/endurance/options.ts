/** The command line of the endurance runs. */
import { randomInt } from 'node:crypto';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { RUNS, type Run, type RunOptions } from './runs.js';

export interface Options extends RunOptions {
  readonly runs: readonly Run[];
  readonly seed: number;
  readonly directory: string;
  readonly keep: boolean;
  readonly json: boolean;
  readonly help: boolean;
}

const COUNTS = ['rounds', 'publishes', 'settles', 'operations'] as const;
const SEED_MAX = 2 ** 32 - 1;

/** Throws an `Error` with one sentence for what is wrong. */
export function parseOptions(args: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      publishes: { type: 'string' },
      settles: { type: 'string' },
      operations: { type: 'string' },
      seed: { type: 'string' },
      quick: { type: 'boolean', default: false },
      dir: { type: 'string', default: tmpdir() },
      keep: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const known = RUNS.map(({ name }) => name);
  const unknown = positionals.find((name) => name !== 'all' && !known.includes(name));
  if (unknown !== undefined) throw new Error(`There is no run ${JSON.stringify(unknown)}; there are ${known.join(', ')}, and all.`);
  if (positionals.length === 0 && !values.help) throw new Error(`Name a run: ${known.join(', ')}, or all.`);
  const counts: Partial<Record<(typeof COUNTS)[number], number>> = {};
  for (const name of COUNTS) {
    const given = values[name];
    if (given !== undefined) counts[name] = wholeNumber(`--${name}`, given, 1, Number.MAX_SAFE_INTEGER);
  }
  return {
    runs: positionals.includes('all') ? RUNS : RUNS.filter(({ name }) => positionals.includes(name)),
    quick: values.quick,
    ...counts,
    seed: values.seed === undefined ? randomInt(SEED_MAX) : wholeNumber('--seed', values.seed, 0, SEED_MAX),
    directory: values.dir,
    keep: values.keep,
    json: values.json,
    help: values.help,
  };
}

function wholeNumber(name: string, given: string, least: number, most: number): number {
  const value = Number(given);
  if (given.trim() === '' || !Number.isInteger(value) || value < least || value > most) throw new Error(`${name} ${given} is not allowed; a whole number from ${least} to ${most} is.`);
  return value;
}

export function help(): string {
  const width = Math.max(...RUNS.map(({ name }) => name.length));
  return `Usage: npm run endurance -- RUN... [options]

Members in processes of their own, on real disks and sockets, are killed, cut and damaged; nothing acknowledged may be lost or doubled.

Runs:
${RUNS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join('\n')}
  ${'all'.padEnd(width)}  one after the other

  --seed N        draws victims, moments and places; a random one, which is printed, if none is given
  --quick         the sizes of the tests
  --rounds N, --settles N, --publishes N, --operations N
                  other sizes, see above
  --dir DIR       where data directories are made (default: the system's directory for temporary files); removed after a run that held
  --keep          not removed
  --json          the figures as one JSON object a run on the standard output, instead of a line
  --help          this text

Progress goes to the standard error. Exit status: 0 everything held, 1 something did not or a run could not begin or end, 2 bad usage.
`;
}
