/** The command line of the bench. */
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';

export interface Options {
  readonly output: 'table' | 'json' | 'markdown';
  /** Names of the suites to run; empty for all. */
  readonly suites: readonly string[];
  readonly quick: boolean;
  readonly rounds: number;
  readonly directory: string;
  /** Directory for `.cpuprofile` files of the leader, or null for none. */
  readonly profile: string | null;
  readonly help: boolean;
}

const ROUNDS = 5;
const QUICK_ROUNDS = 1;
const ROUNDS_MAX = 100;

/** Throws an `Error` with one sentence for what is wrong. */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: 'boolean', default: false },
      markdown: { type: 'boolean', default: false },
      suite: { type: 'string', multiple: true, default: [] },
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      dir: { type: 'string', default: tmpdir() },
      profile: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const rounds = values.rounds === undefined ? (values.quick ? QUICK_ROUNDS : ROUNDS) : Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > ROUNDS_MAX) {
    throw new Error(`--rounds ${values.rounds} is not allowed; a whole number from 1 to ${ROUNDS_MAX} is.`);
  }
  if (values.json && values.markdown) throw new Error('--json and --markdown exclude each other.');
  return {
    output: values.json ? 'json' : values.markdown ? 'markdown' : 'table',
    suites: values.suite,
    quick: values.quick,
    rounds,
    directory: values.dir,
    profile: values.profile ?? null,
    help: values.help,
  };
}

export function help(suites: readonly { readonly name: string; readonly summary: string }[]): string {
  const width = Math.max(...suites.map(({ name }) => name.length));
  return `Usage: npm run bench -- [options]

Measures the coordinator on this machine: three nodes in three processes on loopback, fdatasync on, events of 256 bytes.

  --suite NAME   only this suite; may be repeated
  --quick        one short round of everything: to see that it works, not to quote
  --rounds N     rounds of the latency suites; figures are medians of them (default ${ROUNDS})
  --dir DIR      where data directories are made and removed again (default: the system's directory for temporary files)
  --json         one {suite, figure, value, unit} a line on the standard output, and nothing else
  --markdown     the table as Markdown
  --profile DIR  writes processor profiles of the leader's application thread in the commit suites there
  --help         this text

Suites:
${suites.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join('\n')}
`;
}
