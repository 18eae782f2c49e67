import { type Command, InvalidArgumentError } from 'commander';
import { CoordinatorError } from '../../errors/index.js';
import { apiOption, outputOption, type PublishFlags, publishOptions, remoteOptions, wholeNumber } from '../arguments.js';
import { type ApiFlags, withClients } from '../nodes.js';
import { type OutputFormat, writeJson, writeLine } from '../output.js';
import { progress } from '../progress.js';
import { ReceiptFile } from '../replay/receipts.js';
import { Replay } from '../replay/replay.js';
import { describeReplay } from '../replay/report.js';
import { interruption } from '../signals.js';
import { countOperations, traceEvents } from '../trace/index.js';

interface Flags extends PublishFlags, ApiFlags {
  readonly rate: number | null;
  readonly reads?: boolean;
  readonly limit?: number;
  readonly receipts?: string;
  readonly output: OutputFormat;
}

export function registerReplay(program: Command): void {
  const command = program
    .command('replay')
    .description('publish recorded filesystem activity; of several nodes each takes the next event')
    .argument('<trace>', 'JSON lines, plain or gzip')
    .option('--rate <n|max>', 'events a second', rate, null)
    .option('--reads', 'publish opens and reads too')
    .option('--limit <n>', 'end after this many operations', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option('--receipts <file>', 'write each receipt here as it comes, one JSON object a line')
    .addHelpText('after', '\nExample:\n  vexcoord replay examples/traces/git-session.jsonl.gz --api 127.0.0.1:7401,127.0.0.1:7411 --receipts receipts.jsonl')
    .action(replay);
  publishOptions(apiOption(outputOption(command)));
}

async function replay(trace: string, flags: Flags): Promise<void> {
  const invalid: CoordinatorError[] = [];
  let invalidLines = 0;
  const operations = await countOperations(trace);
  const total = Math.min(flags.limit ?? operations, operations);
  const receipts = flags.receipts === undefined ? null : new ReceiptFile(flags.receipts);
  const shown = progress('Replaying', total);
  const signal = interruption();
  try {
    await withClients(flags, async (clients) => {
      const run = new Replay({
        clients,
        publish: remoteOptions(flags),
        rate: flags.rate,
        signal,
        onReceipt: (receipt) => receipts?.write(receipt),
        onProgress: (done) => shown.update(done + invalidLines),
      });
      const events = traceEvents(trace, {
        reads: flags.reads ?? false,
        onInvalidLine: (error) => {
          invalidLines += 1;
          if (invalid.length < 10) invalid.push(error);
        },
      });
      const summary = await run.run(limited(events, flags.limit));
      shown.stop();
      for (const error of invalid) process.stderr.write(`${error.code}: ${trace}: ${error.message}\n`);
      if (flags.output === 'json') await writeJson({ trace, ...summary, invalidLines });
      else await writeLine(describeReplay(summary));
      if (signal.aborted) throw new CoordinatorError('ABORTED', `the replay was interrupted after ${summary.operations} of ${total} operations`);
      if (run.failure !== null) throw new CoordinatorError(run.failure.code, `${summary.failed} events got no receipt; the first: ${run.failure.message}`);
      if (invalidLines > 0) throw new CoordinatorError('TRACE_INVALID', `${invalidLines} lines of ${trace} could not be used; the others were replayed`);
    });
  } finally {
    shown.stop();
    receipts?.close();
  }
}

async function* limited<T>(source: AsyncIterable<T>, limit: number | undefined): AsyncGenerator<T> {
  let left = limit ?? Number.POSITIVE_INFINITY;
  for await (const item of source) {
    yield item;
    left -= 1;
    if (left <= 0) return;
  }
}

function rate(text: string): number | null {
  if (text === 'max') return null;
  const value = /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : 0;
  if (value <= 0) throw new InvalidArgumentError('It must be max or a number above 0.');
  return value;
}
