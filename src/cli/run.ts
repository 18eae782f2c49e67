import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import { type Command, CommanderError } from 'commander';
import { CoordinatorError } from '../errors/index.js';
import { refuseSecond } from './arguments.js';
import { flushed, quietPipe } from './output.js';

/** Runs the process's command line and ends the process: 0, 1 or 2, with the reason of a failure on stderr as `CODE: sentence`. */
export function runAndExit(program: Command): void {
  quietPipe();
  // The library's own lines on stderr have no code; what they tell comes as an error too.
  if (process.env.GRPC_VERBOSITY === undefined) setLogVerbosity(logVerbosity.NONE);
  refuseSecond(program);
  program.exitOverride().configureOutput({ outputError: () => {} });
  run(program).then(async (status) => {
    await flushed();
    process.exit(status);
  });
}

async function run(program: Command): Promise<number> {
  try {
    await program.parseAsync(process.argv.slice(2), { from: 'user' });
    return 0;
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    const error = thrown instanceof CommanderError ? usageError(thrown) : CoordinatorError.from(thrown);
    for (const line of error.message.split('\n')) process.stderr.write(`${error.code}: ${line}\n`);
    return error.exitCode;
  }
}

function usageError(thrown: CommanderError): CoordinatorError {
  // Commander has printed its help where a command is missing.
  if (thrown.code === 'commander.help') return new CoordinatorError('USAGE', 'a command is missing');
  return new CoordinatorError('USAGE', thrown.message.replace(/^error: /, '').replace(/\n\s*/g, ' '));
}
