import { type Command, Option } from 'commander';
import type { CausalityOptions, CausalKey, CausalRelation, Causality, Delivery, RelatedEvents } from '../../contracts/index.js';
import { CoordinatorError } from '../../errors/index.js';
import { deliveryToJson, parseWhere } from '../../events/index.js';
import { apiOption, nonEmpty, outputOption, usage, wholeNumber } from '../arguments.js';
import { causalTree } from '../causal-tree.js';
import { describeDelivery } from '../describe-delivery.js';
import { type ApiFlags, firstAnswer } from '../nodes.js';
import { type OutputFormat, writeJson, writeLine } from '../output.js';
import { interruption } from '../signals.js';

interface Flags extends ApiFlags {
  readonly effects?: boolean;
  readonly concurrent?: boolean;
  readonly relation?: string;
  readonly graph?: number;
  readonly direct?: boolean;
  readonly where?: string;
  readonly from?: string;
  readonly limit?: number;
  readonly cursor?: string;
  readonly output: OutputFormat;
}

export function registerCausality(program: Command): void {
  const modes = ['causes', 'effects', 'concurrent', 'relation', 'graph'];
  const mode = (flags: string, name: string, description: string): Option => new Option(flags, description).conflicts(modes.filter((other) => other !== name));
  const command = program
    .command('causality')
    .description('say what happened before an event of the causal lane, after it, or neither')
    .argument('<id>', 'event id, a UUID')
    .addOption(mode('--causes', 'causes', 'what happened before it, as far as the logs still have that (the default)'))
    .addOption(mode('--effects', 'effects', 'what happened after it, of what is delivered by now'))
    .addOption(mode('--concurrent', 'concurrent', 'what happened neither before nor after it'))
    .addOption(mode('--relation <id2>', 'relation', 'how the event stands to this one: same, before, after or concurrent').argParser(nonEmpty))
    .addOption(mode('--graph <depth>', 'graph', 'draw its nearest causes, theirs, and so on, this many deep').argParser(wholeNumber(1, 1000)))
    .option('--direct', 'only the nearest causes, or the first effects')
    .option('--where <expr>', 'only events that fit: type=NAME,... and path=GLOB terms, all of which must hold')
    .option('--from <cursor>', 'go on behind the event of such a list with this cursor', nonEmpty)
    .option('--limit <n>', 'end after this many', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option('--cursor <cursor>', "the event's own cursor, for one whose id the node may not know any more", nonEmpty)
    .addHelpText('after', '\nExample:\n  vexcoord causality 01890a5d-ac96-774b-bcce-b302099a8057 --causes --direct')
    .action(causality);
  apiOption(outputOption(command));
}

async function causality(id: string, flags: Flags): Promise<void> {
  const key: CausalKey = flags.cursor === undefined ? id : { id, cursor: flags.cursor };
  if (flags.relation !== undefined) return relate(id, key, flags.relation, flags);
  if (flags.graph !== undefined) return draw(id, key, flags.graph, flags);
  if (flags.direct && flags.concurrent) throw usage('--direct is for --causes and --effects');
  const where = flags.where === undefined ? undefined : parseWhere(flags.where);
  const signal = interruption();
  let [left, from] = [flags.limit ?? Number.POSITIVE_INFINITY, flags.from];
  let [told, found] = [false, false];
  // Another node goes on where the one before it has stopped.
  await firstAnswer(flags, async (client) => {
    const options: CausalityOptions = {
      ...(where === undefined ? {} : { where }),
      ...(from === undefined ? {} : { from }),
      ...(flags.direct ? { direct: true } : {}),
      signal,
    };
    const events = streamOf(client.causality, key, flags, options);
    if (!told && !(await events.complete())) process.stderr.write('Some of them may have gone from the logs; these are the others.\n');
    told = true;
    // Few, and none of them names where to go on.
    const listed = flags.direct ? await all(events) : events;
    for await (const delivery of listed) {
      await (flags.output === 'json' ? writeJson(deliveryToJson(delivery)) : writeLine(describeDelivery(delivery)));
      from = delivery.cursor;
      found = true;
      left -= 1;
      if (left === 0) break;
    }
  });
  if (!found && !signal.aborted) process.stderr.write('There are none.\n');
  if (signal.aborted) throw new CoordinatorError('ABORTED', 'the list was interrupted before its end', { committed: 'no' });
}

async function all(events: AsyncIterable<Delivery>): Promise<Delivery[]> {
  const found: Delivery[] = [];
  for await (const delivery of events) found.push(delivery);
  return found;
}

function streamOf(causality: Causality, key: CausalKey, flags: Flags, options: CausalityOptions): RelatedEvents {
  if (flags.effects) return causality.effectsOf(key, options);
  return flags.concurrent ? causality.concurrentWith(key, options) : causality.causesOf(key, options);
}

const SENTENCES: Readonly<Record<CausalRelation, string>> = {
  same: 'is the same event as',
  before: 'happened before',
  after: 'happened after',
  concurrent: 'is concurrent with',
};

function refuse(flags: Flags, mode: string, ...names: readonly ('direct' | 'where' | 'from' | 'limit')[]): void {
  for (const name of names) if (flags[name] !== undefined) throw usage(`--${name} is for lists of events, not for --${mode}`);
}

async function draw(id: string, key: CausalKey, depth: number, flags: Flags): Promise<void> {
  refuse(flags, 'graph', 'direct', 'from', 'limit');
  if (flags.output === 'json') throw usage('--graph is a drawing; --causes --direct --output json is for programs');
  const options = { ...(flags.where === undefined ? {} : { where: parseWhere(flags.where) }), signal: interruption() };
  // As a whole: another node begins again.
  const lines = await firstAnswer(flags, async ({ causality }) => {
    const found: string[] = [];
    for await (const line of causalTree(causality, { id, key, text: id }, depth, options)) found.push(line);
    return found;
  });
  for (const line of lines) await writeLine(line);
}

async function relate(id: string, key: CausalKey, other: string, flags: Flags): Promise<void> {
  refuse(flags, 'relation', 'direct', 'where', 'from', 'limit');
  const signal = interruption();
  const relation = await firstAnswer(flags, (client) => client.causality.relation(key, other, { signal }));
  if (flags.output === 'json') return writeJson({ one: id, other, relation });
  await writeLine(`${id} ${SENTENCES[relation]} ${other}.`);
}
