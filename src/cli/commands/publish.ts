import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { Command } from 'commander';
import { OrderedPublisher } from '../../api/index.js';
import type { EventInput, Receipt } from '../../contracts/index.js';
import { CoordinatorError } from '../../errors/index.js';
import { eventFromJson, newEventId, receiptToJson } from '../../events/index.js';
import { apiOption, outputOption, type PublishFlags, publishOptions, remoteOptions } from '../arguments.js';
import { type Line, readLines } from '../lines.js';
import { type ApiFlags, withClients } from '../nodes.js';
import { type OutputFormat, writeJson, writeLine } from '../output.js';
import { interruption } from '../signals.js';

/** Answers waiting for their turn to be written. */
const ANSWERS_WAITING_MAX = 4096;

interface Flags extends PublishFlags, ApiFlags {
  readonly file: string;
  readonly output: OutputFormat;
}

interface Answer {
  readonly line: number;
  readonly eventId: string | null;
  readonly result: Promise<Receipt | CoordinatorError>;
}

export function registerPublish(program: Command): void {
  const command = program
    .command('publish')
    .description('publish events, one JSON object a line; every line gets its receipt or its error, in order')
    .option('--file <file>', 'where the lines come from; - is stdin', '-')
    .addHelpText('after', '\nExample:\n  echo \'{"type": "FilesystemCreate", "path": "/a"}\' | vexcoord publish --consistency strong')
    .action(publish);
  publishOptions(apiOption(outputOption(command, 'json')));
}

async function publish(flags: Flags): Promise<void> {
  const source = await openSource(flags.file);
  const stop = interruption();
  stop.addEventListener('abort', () => source.destroy(), { once: true });
  await withClients(flags, async (clients) => {
    const publisher = new OrderedPublisher(clients, remoteOptions(flags));
    try {
      const answers = new Answers();
      const written = writeAnswers(answers, flags.output);
      try {
        for await (const line of readLines(source)) {
          if (line.text?.trim() === '') continue;
          await Promise.race([Promise.all([publisher.ready(), answers.ready()]), written]);
          answers.push(submit(publisher, line));
        }
      } catch (error) {
        if (!stop.aborted) throw new CoordinatorError('LINE_INVALID', `the input ended early: ${(error as Error).message}`, { cause: error });
      } finally {
        answers.end();
      }
      const { lines, failed, first } = await written;
      if (first !== null) {
        const { line, error } = first;
        throw new CoordinatorError(error.code, `${failed} of ${lines} lines got no receipt; the first, line ${line}: ${error.message}`);
      }
    } finally {
      publisher.close();
    }
  });
}

function submit(publisher: OrderedPublisher, line: Line): Answer {
  try {
    const event = eventOfLine(line);
    return { line: line.number, eventId: event.id ?? null, result: publisher.submit(event) };
  } catch (error) {
    return { line: line.number, eventId: null, result: Promise.resolve(CoordinatorError.from(error)) };
  }
}

/** The id is made before the first attempt, so that every retry is recognised as the same event. */
function eventOfLine(line: Line): EventInput {
  if (line.text === null) throw new CoordinatorError('LINE_INVALID', `line ${line.number} cannot be used: ${line.problem}`);
  let value: unknown;
  try {
    value = JSON.parse(line.text);
  } catch (error) {
    throw new CoordinatorError('LINE_INVALID', `line ${line.number} is not JSON: ${(error as Error).message}`);
  }
  const event = eventFromJson(value);
  return event.id === undefined ? { ...event, id: newEventId() } : event;
}

async function writeAnswers(answers: Answers, output: OutputFormat) {
  let lines = 0;
  let failed = 0;
  let first: { line: number; error: CoordinatorError } | null = null;
  for await (const answer of answers) {
    const result = await answer.result;
    lines += 1;
    if (result instanceof CoordinatorError) {
      failed += 1;
      first ??= { line: answer.line, error: result };
      const { code, message, committed } = result;
      const error = { line: answer.line, ...(answer.eventId === null ? {} : { eventId: answer.eventId }), error: { code, message, committed } };
      await (output === 'json' ? writeJson(error) : writeLine(`line ${answer.line}  ${code}: ${message}`));
    } else if (output === 'json') await writeJson(receiptToJson(result));
    else {
      await writeLine(
        `line ${answer.line}  ${result.eventId}  ${result.level}  index ${result.index}.${result.offset}  term ${result.term}  ${result.durableMembers} disks${result.duplicate ? '  duplicate' : ''}`,
      );
    }
  }
  return { lines, failed, first };
}

/** A bounded queue from the reading to the writing side. */
class Answers implements AsyncIterable<Answer> {
  readonly #waiting: Answer[] = [];
  #ended = false;
  #wake: (() => void) | null = null;
  #room: (() => void) | null = null;

  async ready(): Promise<void> {
    while (this.#waiting.length >= ANSWERS_WAITING_MAX) {
      await new Promise<void>((resolve) => {
        this.#room = resolve;
      });
    }
  }

  push(answer: Answer): void {
    this.#waiting.push(answer);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Answer> {
    for (;;) {
      const answer = this.#waiting.shift();
      if (answer !== undefined) {
        this.#room?.();
        yield answer;
      } else if (this.#ended) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

async function openSource(file: string): Promise<Readable> {
  if (file === '-') return process.stdin;
  try {
    return (await open(file, 'r')).createReadStream();
  } catch (error) {
    throw new CoordinatorError('USAGE', `the file ${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}
