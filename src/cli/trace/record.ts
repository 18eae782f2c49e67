import { spawn } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { CoordinatorError } from '../../errors/index.js';
import { readLines } from '../lines.js';
import { TRACED_CALLS } from './strace-calls.js';
import { StraceTranslator } from './strace-translator.js';

export interface RecordOptions {
  /** The command and its arguments. */
  readonly command: readonly string[];
  /** Trace to write; gzip when it ends in `.gz`. */
  readonly out: string;
  /** Only what happens below it is recorded; default the working directory. */
  readonly root?: string;
}

export interface RecordResult {
  readonly operations: number;
  /** Exit status of the command; 128 and the signal's number when a signal ended it. */
  readonly exitStatus: number;
}

/** Signals a terminal sends to the whole process group: the command decides what they mean, and the recording is written all the same. */
const TERMINAL_SIGNALS = ['SIGINT', 'SIGQUIT'] as const;

function runStrace(output: string, command: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const leaveToCommand = () => {};
    for (const signal of TERMINAL_SIGNALS) process.on(signal, leaveToCommand);
    const settle = () => {
      for (const signal of TERMINAL_SIGNALS) process.off(signal, leaveToCommand);
    };
    const child = spawn('strace', ['-f', '-ttt', '-y', '-s', '0', '-e', `trace=${TRACED_CALLS}`, '-o', output, '--', ...command], { stdio: 'inherit' });
    child.once('error', (cause: NodeJS.ErrnoException) => {
      settle();
      const missing = new CoordinatorError('STRACE_MISSING', 'strace is missing: install it (on Debian and Ubuntu: apt-get install strace), then run this again.', { cause });
      reject(cause.code === 'ENOENT' ? missing : cause);
    });
    child.once('close', (status, signal) => {
      settle();
      resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}

/**
 * Runs a command under strace and writes what it and its children did to files, as a trace. The command keeps the terminal.
 * @throws CoordinatorError `STRACE_MISSING`; `TRACE_INVALID` when nothing could be followed or the trace cannot be written.
 */
export async function recordCommand(options: RecordOptions): Promise<RecordResult> {
  const cwd = await realpath('.');
  const root = await realpath(options.root ?? cwd);
  const room = await mkdtemp(join(tmpdir(), 'vexcoord-record-'));
  try {
    const output = join(room, 'strace');
    const exitStatus = await runStrace(output, options.command);
    let operations = 0;
    let lines = 0;
    async function* trace(): AsyncGenerator<string> {
      const translator = new StraceTranslator(root, cwd);
      for await (const { text } of readLines(createReadStream(output))) {
        lines += 1;
        for (const operation of text === null ? [] : translator.push(text)) {
          operations += 1;
          yield `${JSON.stringify(operation)}\n`;
        }
      }
    }
    try {
      const pack = options.out.endsWith('.gz') ? [createGzip()] : [];
      await pipeline([Readable.from(trace()), ...pack, createWriteStream(options.out)]);
    } catch (cause) {
      throw new CoordinatorError('TRACE_INVALID', `The trace ${options.out} cannot be written: ${(cause as Error).message}.`, { cause });
    }
    if (lines === 0) {
      throw new CoordinatorError('TRACE_INVALID', `strace could not follow ${options.command[0]}: it does not start, or tracing is not permitted here (status ${exitStatus}).`);
    }
    return { operations, exitStatus };
  } finally {
    await rm(room, { recursive: true, force: true });
  }
}
