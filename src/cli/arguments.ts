import { type Command, InvalidArgumentError, Option } from 'commander';
import { isDialable, isNodeId, parseAddress } from '../config/index.js';
import { LEVELS, type Level } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import type { OutputFormat } from './output.js';
import { proofOptions } from './tls.js';

export const DEFAULT_API = '127.0.0.1:7401';

/** Adds `--output`; streams of JSON lines default to json, everything else to table. */
export function outputOption(command: Command, fallback: OutputFormat = 'table'): Command {
  return command.addOption(new Option('--output <format>', 'how results are written').choices(['table', 'json']).default(fallback));
}

export function apiOption(command: Command): Command {
  return proofOptions(command.option('--api <host:port,...>', 'API address of a node; of several, the next is tried when one is down', addresses, [DEFAULT_API]));
}

export function groupOption(command: Command): Command {
  return command.option('--group <n>', 'ordered group', wholeNumber(0, 0xffff_ffff), 0);
}

/** Of directories of stopped members. */
export function windowOption(command: Command): Command {
  return command.option('--window-events <n>', "the members' dedup.windowEvents, for a directory that does not say it", wholeNumber(1000, 100_000_000));
}

export function timeoutOption(command: Command, what: string, minMs = 1): Command {
  return command.option('--timeout-ms <ms>', what, wholeNumber(minMs, 3_600_000), 10_000);
}

export interface PublishFlags {
  readonly consistency?: Level | 'adaptive';
  readonly critical?: boolean;
  readonly protocol?: string;
  readonly maxStalenessMs?: number;
  readonly group: number;
  readonly quorumSize?: number | 'all';
  readonly after?: string;
  readonly timeoutMs: number;
}

export function publishOptions(command: Command): Command {
  command
    .addOption(new Option('--consistency <level>', 'what the receipt must state (default: what the node is configured to, else linearizable)').choices([...LEVELS, 'adaptive']))
    .option('--critical', 'agree among validators first')
    .option('--protocol <name>', "a protocol of the node's configuration", nonEmpty)
    .option('--max-staleness-ms <ms>', 'for adaptive: after which time at most a majority is to show the event', wholeNumber(0, 3_600_000))
    .option('--after <cursor>', 'a cursor of the causal lane, of a receipt or delivery: the events follow what it names', nonEmpty)
    .option('--quorum-size <n|all>', 'for strong: voters that must have applied the event', quorumSize);
  return timeoutOption(groupOption(command), 'how long an event is tried under its id, through changes of leader');
}

/** The publish options that were given. */
export function remoteOptions(flags: PublishFlags) {
  return {
    ...(flags.consistency === undefined ? {} : { consistency: flags.consistency }),
    ...(flags.critical ? { critical: true } : {}),
    ...(flags.protocol === undefined ? {} : { protocol: flags.protocol }),
    ...(flags.maxStalenessMs === undefined ? {} : { maxStalenessMs: flags.maxStalenessMs }),
    ...(flags.group === 0 ? {} : { group: flags.group }),
    ...(flags.quorumSize === undefined ? {} : { quorumSize: flags.quorumSize }),
    ...(flags.after === undefined ? {} : { after: flags.after }),
    timeoutMs: flags.timeoutMs,
  };
}

export function addresses(text: string): string[] {
  const list = text.split(',').map((part) => part.trim());
  for (const address of list) {
    const parsed = parseAddress(address);
    if (parsed === null || 'memory' in parsed || !isDialable(parsed)) throw new InvalidArgumentError(`${JSON.stringify(address)} is neither HOST:PORT nor unix:PATH.`);
  }
  return list;
}

export const wholeNumber =
  (min: number, max: number) =>
  (text: string): number => {
    const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    return value;
  };

export const unsigned64 = (text: string): bigint => {
  if (!/^[0-9]{1,20}$/.test(text) || BigInt(text) > 0xffff_ffff_ffff_ffffn) throw new InvalidArgumentError('It must be a whole number below 2^64.');
  return BigInt(text);
};

export const nonEmpty = (text: string): string => {
  if (text === '') throw new InvalidArgumentError('It must not be empty.');
  return text;
};

const LISTS = new WeakSet<object>();

/** Of an option that may be given again: all its values, each read by `one`. */
export function repeated(one: (text: string) => string = (text) => text): (text: string, before: readonly string[] | undefined) => string[] {
  const parse = (text: string, before: readonly string[] | undefined): string[] => [...(before ?? []), one(text)];
  LISTS.add(parse);
  return parse;
}

/** Has every option of a command, and of those below it, refused where it is given again, unless it is a list or has no value. */
export function refuseSecond(command: Command): void {
  for (const option of command.options) {
    if (option.isBoolean() || LISTS.has(option.parseArg ?? {})) continue;
    let given = false;
    command.on(`option:${option.name()}`, () => {
      if (given) throw usage(`${option.long ?? option.flags} was given twice, and takes one value`);
      given = true;
    });
  }
  for (const below of command.commands) refuseSecond(below);
}

function quorumSize(text: string): number | 'all' {
  return text === 'all' ? 'all' : wholeNumber(1, 7)(text);
}

export const memberId = (text: string): string => {
  if (!isNodeId(text)) throw new InvalidArgumentError('It must be 1 to 64 of the characters A-Z a-z 0-9 . _ -, beginning with a letter or digit.');
  return text;
};

export const usage = (message: string): CoordinatorError => new CoordinatorError('USAGE', message);
