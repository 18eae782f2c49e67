/** `npm run bench`: measures and reports (docs/benchmarks.md). Progress goes to the standard error, figures to the standard output. */
import { mkdirSync } from 'node:fs';
import type { Context } from './context.js';
import { describeMachine, filesystemOf, Machine } from './machine.js';
import { killMembers } from './member.js';
import { help, type Options, parseOptions } from './options.js';
import { Report } from './report.js';
import { closeRooms } from './rooms.js';
import { SUITES } from './suites/index.js';

const progress = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

async function bench(options: Options): Promise<void> {
  const chosen = options.suites.length === 0 ? SUITES : SUITES.filter(({ name }) => options.suites.includes(name));
  mkdirSync(options.directory, { recursive: true });
  if (options.profile !== null) mkdirSync(options.profile, { recursive: true });
  const filesystem = filesystemOf(options.directory);
  const where = `Data on ${filesystem} in ${options.directory}${filesystem === 'tmpfs' ? ': memory, not a disk; fdatasync costs nothing there' : ''}.`;
  progress(`${describeMachine()} ${where}`);

  const report = new Report();
  const machine = new Machine();
  const context: Context = { options, report, progress };
  for (const suite of chosen) {
    const began = performance.now();
    progress(`${suite.name}: ${suite.summary}`);
    await suite.run(context);
    progress(`${suite.name}: done in ${((performance.now() - began) / 1000).toFixed(0)} s`);
  }
  const verdict = machine.verdict();
  const notes = [...verdict, describeMachine(), where, ...(options.quick ? ['A quick run: to see that it works, not to quote.'] : [])];
  if (options.output === 'json') {
    for (const note of verdict) progress(note);
    process.stdout.write(report.json());
  } else process.stdout.write(options.output === 'markdown' ? report.markdown(notes) : report.table(notes));
}

async function main(): Promise<number> {
  let options: Options;
  try {
    options = parseOptions(process.argv.slice(2));
    const unknown = options.suites.find((name) => !SUITES.some((suite) => suite.name === name));
    if (unknown !== undefined) throw new Error(`There is no suite ${JSON.stringify(unknown)}; there are ${SUITES.map(({ name }) => name).join(', ')}.`);
  } catch (error) {
    progress(error instanceof Error ? error.message : String(error));
    return 2;
  }
  if (options.help) {
    process.stdout.write(help(SUITES));
    return 0;
  }
  try {
    await bench(options);
    return 0;
  } catch (error) {
    progress(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return 1;
  }
}

process.on('exit', () => {
  killMembers();
  closeRooms();
});
for (const [signal, status] of [['SIGINT', 130], ['SIGTERM', 143]] as const) process.once(signal, () => process.exit(status));
// Until it is known better: an event loop that runs empty ends the process without a word.
process.exitCode = 1;
void main().then((status) => {
  process.exitCode = status;
});
