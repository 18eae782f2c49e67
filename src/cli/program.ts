import { Command } from 'commander';
import { COMMANDS } from './commands/index.js';
import { packageVersion } from '../runtime/index.js';

/** The whole command line. Usage errors are thrown, not printed. */
export function buildProgram(): Command {
  const program = new Command('vexcoord')
    .description('A replicated event log with a guarantee chosen event by event.')
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('--help', 'explain a command, with an example')
    .helpCommand('help [command]', 'explain a command')
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .showSuggestionAfterError()
    .enablePositionalOptions()
    .addHelpText('after', '\nExample:\n  vexcoord status --api 127.0.0.1:7401');
  for (const register of COMMANDS) register(program);
  return program;
}
