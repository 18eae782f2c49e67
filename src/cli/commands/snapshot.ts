import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { LIMITS, type SnapshotContents, type SnapshotStream } from '../../contracts/index.js';
import { jsonOf } from '../../events/index.js';
import { apiOption, groupOption, memberId, outputOption, repeated, timeoutOption, usage, wholeNumber } from '../arguments.js';
import { type ApiFlags, withClients } from '../nodes.js';
import { facts, type OutputFormat, table, writeJson, writeLine } from '../output.js';
import { untilSignal } from '../signals.js';
import { saveTo } from '../snapshot-file.js';

interface SaveFlags extends ApiFlags {
  readonly group: number;
  readonly output: OutputFormat;
  readonly timeoutMs: number;
}

interface RestoreFlags {
  readonly dataDir: string;
  readonly nodeId: string;
  readonly clusterId: string;
  readonly member?: string[];
  readonly windowEvents?: number;
  readonly output: OutputFormat;
}

export function registerSnapshot(program: Command): void {
  const snapshot = program
    .command('snapshot')
    .description("save a group's state to a file, look into one, begin again from one")
    .addHelpText('after', '\nExample:\n  vexcoord snapshot save state.snap --api 127.0.0.1:7401');
  const save = snapshot
    .command('save')
    .description('have a node take a snapshot and save it; the file appears whole or not at all, and in the place of a regular file only')
    .argument('<file>', 'where it goes')
    .addHelpText('after', '\nExample:\n  vexcoord snapshot save state.snap --api 127.0.0.1:7401')
    .action(saveSnapshot);
  timeoutOption(groupOption(apiOption(outputOption(save))), 'how long to wait until the snapshot is taken');
  outputOption(
    snapshot
      .command('inspect')
      .description('read a snapshot to its end, check it and say what is in it')
      .argument('<file>', 'the snapshot')
      .addHelpText('after', '\nExample:\n  vexcoord snapshot inspect state.snap')
      .action(inspect),
  );
  outputOption(
    snapshot
      .command('restore')
      .description('make a new data directory that goes on from a snapshot of every group that the cluster has; how many these are, no snapshot says')
      .argument('<file...>', 'the snapshot, one for each group')
      .requiredOption('--data-dir <dir>', 'a directory that does not exist yet or is empty')
      .requiredOption('--node-id <id>', 'the member whose directory it is to be; an id that the cluster has not had', memberId)
      .option('--cluster-id <id>', 'the cluster that the snapshot must be of', 'vexfs')
      .option('--window-events <n>', "the members' dedup.windowEvents, where it is not the usual one", wholeNumber(1000, 100_000_000))
      .option('--member <id>', 'a member from now on; give one for each, the same in every restored directory (default: this one alone)', repeated(memberId))
      .addHelpText('after', '\nExample:\n  vexcoord snapshot restore state.snap --data-dir ./a2 --node-id a2 --cluster-id vexfs')
      .action(restore),
  );
}

async function saveSnapshot(file: string, flags: SaveFlags): Promise<void> {
  // One node is asked: another one's snapshot could not go on where the first one's broke off.
  const [address] = flags.api;
  await withClients({ ...flags, api: address === undefined ? [] : [address] }, async ([client]) => {
    if (client === undefined) return;
    const { timeoutMs } = flags;
    const take = (signal: AbortSignal): Promise<SnapshotStream> => client.saveSnapshot({ group: flags.group, timeoutMs, signal });
    const { group, index, bytes } = await untilSignal((signal) => saveTo(file, () => take(signal), signal), `nothing was written to ${file}`);
    if (flags.output === 'json') return writeJson({ file, group, index: index.toString(), bytes });
    await writeLine(`${file} has the state of group ${group} at index ${index}, ${bytes} bytes.`);
  });
}

async function inspect(file: string, flags: { readonly output: OutputFormat }): Promise<void> {
  const { inspectSnapshot } = await import('../../native/index.js');
  const contents = await inspectSnapshot(file);
  if (flags.output === 'json') return writeJson(jsonOf(contents) as object);
  await writeLine(describe(file, contents));
}

async function restore(files: string[], flags: RestoreFlags): Promise<void> {
  const { restoreSnapshots } = await import('../../native/index.js');
  const { dataDir, nodeId, clusterId } = flags;
  const members = [...new Set([nodeId, ...(flags.member ?? [])])];
  if (members.length > LIMITS.votersMax) throw usage(`--member names ${members.length} members; a cluster begins with at most ${LIMITS.votersMax}`);
  const settings = flags.windowEvents === undefined ? {} : { windowEvents: flags.windowEvents };
  const indexes = await restoreSnapshots({ ...settings, paths: files, dataDir, clusterId, nodeId, founders: members, freshDirectoryId: randomBytes(16), seed: randomBytes(8).readBigUInt64LE() });
  const which = indexes.length === 1 ? 'Group 0 alone was' : `The groups 0 to ${indexes.length - 1} were`;
  process.stderr.write(`${which} restored. No snapshot says how many its cluster had: if there were more, their events are not in ${dataDir}, and cannot come there later; restore again, into a new directory, with a snapshot of each.\n`);
  if (flags.output === 'json') return writeJson({ dataDir, nodeId, clusterId, members, groups: jsonOf(indexes) });
  const groups = indexes.map(({ group, index }) => `group ${group} from index ${index}`).join(', ');
  await writeLine(`${dataDir} goes on with ${groups}; its members are ${members.join(', ')}, and count ids over ${flags.windowEvents ?? 'the usual number of'} events (dedup.windowEvents; --window-events). Start it with "${startOf(flags, indexes.length)}".`);
}

function startOf({ nodeId, clusterId, dataDir, windowEvents }: RestoreFlags, groups: number): string {
  const settings = [...(groups === 1 ? [] : [`--groups ${groups}`]), ...(windowEvents === undefined ? [] : [`--dedup-window-events ${windowEvents}`])];
  return ['vexcoord serve', `--node-id ${nodeId}`, `--cluster-id ${clusterId}`, `--data-dir ${dataDir}`, ...settings].join(' ');
}

function describe(file: string, contents: SnapshotContents): string {
  const lines = facts([
    ['file', `${file}, ${contents.bytes} bytes, digest ${contents.digest}`],
    ['cluster', `${contents.clusterId}, group ${contents.group}`],
    ['state', `at index ${contents.index}, term ${contents.term}, hash ${contents.applyHash}`],
    ['holds', `${contents.events} events, ${contents.sessions} sessions, ${contents.consumers} consumers`],
  ]);
  if (contents.members.length === 0) return lines;
  return `${lines}\n\n${table(contents.members.map(({ id, role, address }) => [id, role, address ?? '-']), ['member', 'role', 'address'])}`;
}
