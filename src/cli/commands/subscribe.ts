import { type Command, Option } from 'commander';
import { CoordinatorError } from '../../errors/index.js';
import { deliveryToJson, parseWhere } from '../../events/index.js';
import { apiOption, groupOption, nonEmpty, outputOption, timeoutOption, wholeNumber } from '../arguments.js';
import { describeDelivery } from '../describe-delivery.js';
import { type OutputFormat, writeJson, writeLine } from '../output.js';
import { interruption } from '../signals.js';
import type { ApiFlags } from '../nodes.js';
import { lastingSubscription } from '../subscription.js';

interface Flags extends ApiFlags {
  readonly from?: string;
  readonly where?: string;
  readonly count?: number;
  readonly consumer?: string;
  readonly lane?: 'ordered' | 'causal';
  readonly group: number;
  readonly output: OutputFormat;
  readonly timeoutMs: number;
}

export function registerSubscribe(program: Command): void {
  const command = program
    .command('subscribe')
    .description('write events as they are delivered, one JSON object a line, until SIGTERM, SIGINT or --count')
    .option('--from <first|latest|snapshot|cursor>', 'where to begin (default: latest, or where the consumer stands)')
    .option('--where <expr>', 'only events that fit: type=NAME,... and path=GLOB terms, all of which must hold')
    .option('--count <n>', 'end after this many', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option('--consumer <name>', 'keep the position under this name; a line is acknowledged once it is written', nonEmpty)
    .addOption(new Option('--lane <lane>', 'events of the levels from sequential on, or of eventual and causal (default: the cursor\'s, else ordered)').choices(['ordered', 'causal']))
    .addHelpText('after', '\nExample:\n  vexcoord subscribe --from first --where "type=FilesystemWrite,graph path=/src/**" --count 10')
    .action(subscribe);
  timeoutOption(groupOption(apiOption(outputOption(command, 'json'))), 'how long to go on without a node that answers');
}

async function subscribe(flags: Flags): Promise<void> {
  const where = flags.where === undefined ? undefined : parseWhere(flags.where);
  const ending = new AbortController();
  const signal = AbortSignal.any([interruption(), ending.signal]);
  const deliveries = lastingSubscription(flags, {
    ...(flags.from === undefined ? {} : { from: flags.from }),
    ...(where === undefined ? {} : { where }),
    ...(flags.consumer === undefined ? {} : { consumer: flags.consumer }),
    ...(flags.lane === undefined ? {} : { lane: flags.lane }),
    ...(flags.group === 0 ? {} : { group: flags.group }),
    timeoutMs: flags.timeoutMs,
    signal,
  });
  let left = flags.count ?? Number.POSITIVE_INFINITY;
  let acknowledged: Promise<void> = Promise.resolve();
  let fenced: CoordinatorError | null = null;
  for await (const delivery of deliveries) {
    await (flags.output === 'json' ? writeJson(deliveryToJson(delivery)) : writeLine(describeDelivery(delivery)));
    if (flags.consumer !== undefined) {
      // Lines go on while an acknowledgement travels; one lost with its connection is made up for by the next.
      acknowledged = delivery.ack().catch((thrown) => {
        const error = CoordinatorError.from(thrown);
        if (error.code === 'CONSUMER_FENCED') fenced = error;
      });
    }
    if (fenced !== null) break;
    left -= 1;
    if (left === 0) {
      await acknowledged;
      break;
    }
  }
  ending.abort();
  if (fenced !== null) throw fenced;
}
