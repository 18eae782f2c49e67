import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import type { HeldDirectory } from '../../contracts/index.js';
import { CoordinatorError } from '../../errors/index.js';
import { jsonOf } from '../../events/index.js';
import { outputOption, repeated, timeoutOption, usage, windowOption } from '../arguments.js';
import { readCredentials } from '../../network/index.js';
import { facts, type OutputFormat, table, writeJson, writeLine } from '../output.js';
import { record } from '../recover/record.js';
import { type TlsFlags, tlsOptions, tlsPathsOf } from '../tls.js';
import { findVoters, refuseMajority, type VoterFound } from '../recover/voters.js';

interface RecoverFlags extends TlsFlags {
  readonly dataDir: string;
  readonly nodeId: string;
  readonly clusterId: string;
  readonly peer?: string[];
  readonly gone?: string[];
  readonly windowEvents?: number;
  readonly yes?: boolean;
  readonly iUnderstandDataLoss?: boolean;
  readonly output: OutputFormat;
  readonly timeoutMs: number;
}

/** A voter that is well answers within it, also on a busy machine. */
const TIMEOUT_MIN_MS = 1_000;

export function registerRecover(program: Command): void {
  const command = program
    .command('recover')
    .description('begin again from one stopped member when a majority of the voters is gone for good')
    .requiredOption('--data-dir <dir>', "the stopped member's data directory")
    .requiredOption('--node-id <id>', 'the member that it belongs to')
    .option('--cluster-id <id>', 'the cluster that it belongs to', 'vexfs')
    .option('--peer <id=host:port>', 'where another voter would answer, besides where the directory has it; needed for each that it has no address of. A wrong port reads as a voter that is gone', repeated())
    .option('--gone <id>', 'a voter that exists no more, and is not asked', repeated())
    .option('--yes', 'do not ask; needs --i-understand-data-loss')
    .option('--i-understand-data-loss', 'acknowledged events that only the lost members have are given up')
    .addHelpText(
      'after',
      [
        '',
        'It shows what the directory holds, asks every other voter at its address, and refuses while a majority, this member',
        'included, is there, or may be: one that does not answer counts, unless its address refuses the connection, as a machine does',
        'on which nobody listens (and a firewall that rejects: look at the voter itself; give --gone for a machine that is switched',
        'off). While members were being changed, that is a majority of the old voters or of',
        'the new ones. Everything in the log is kept, also what no commit mark covers; what only the lost members have is given up.',
        'The member is the only one from then on, which is recorded in the directory and in the member table; whoever was a member',
        'before and comes back is told that it was removed. Others join under new ids, by "vexcoord member add" and "vexcoord serve',
        '--join". Save a copy of the directory first.',
        '',
        'Example:',
        '  vexcoord recover --data-dir ./a --node-id a --peer b=127.0.0.1:7410 --peer c=127.0.0.1:7420',
      ].join('\n'),
    )
    .action(recover);
  timeoutOption(windowOption(outputOption(tlsOptions(command, 'the stopped member'))), `how long a voter may take to answer, at least ${TIMEOUT_MIN_MS}`, TIMEOUT_MIN_MS);
}

async function recover(flags: RecoverFlags): Promise<void> {
  const { dataDir, nodeId, clusterId, timeoutMs } = flags;
  if (flags.yes && !flags.iUnderstandDataLoss) throw usage('--yes needs --i-understand-data-loss: events that only the lost members have are given up');
  const { lookAtDirectory, recoverDirectory } = await import('../../native/index.js');
  const settings = flags.windowEvents === undefined ? {} : { windowEvents: flags.windowEvents };
  const held = await lookAtDirectory(dataDir, settings);
  check(held, flags);
  const paths = tlsPathsOf(flags);
  const credentials = paths === null ? null : await readCredentials(paths, { clusterId, name: nodeId }, Date.now());
  const voters = await findVoters(held, { peers: pairs(flags.peer ?? []), gone: flags.gone ?? [], timeoutMs, credentials });
  if (flags.output === 'table') await writeLine(describe(dataDir, held, voters));
  refuseMajority(voters, held.quorums);
  if (!flags.yes) await confirm(nodeId);
  const before = { nodeId, clusterId, groups: jsonOf(held.groups), voters };
  await record(dataDir, { at: new Date().toISOString(), state: 'begun', ...before });
  const groups = await recoverDirectory({ ...settings, dataDir, clusterId, nodeId, seed: randomBytes(8).readBigUInt64LE() });
  await record(dataDir, { at: new Date().toISOString(), state: 'done', groups: jsonOf(groups) });
  if (flags.output === 'json') return writeJson({ ...before, dataDir, recovered: jsonOf(groups) });
  await writeLine(nextSteps(flags));
}

function nextSteps({ dataDir, nodeId, clusterId }: RecoverFlags): string {
  return [
    `Done: ${nodeId} is the only member of ${clusterId} now. Start it:`,
    `  vexcoord serve --node-id ${nodeId} --cluster-id ${clusterId} --data-dir ${dataDir} --listen HOST:PORT --api HOST:PORT`,
    'Others join under ids that the cluster has not had, with directories that are empty; each NEW (--api is that of a member):',
    `  vexcoord member add NEW=HOST:PORT --api HOST:PORT`,
    `  vexcoord serve --node-id NEW --cluster-id ${clusterId} --data-dir DIR --listen HOST:PORT --api HOST:PORT --join --peer ${nodeId}=HOST:PORT`,
    `  vexcoord member promote NEW --api HOST:PORT`,
  ].join('\n');
}

function check(held: HeldDirectory, { dataDir, nodeId, clusterId }: RecoverFlags): void {
  if (held.nodeId !== nodeId || held.clusterId !== clusterId) {
    throw new CoordinatorError('DATA_DIR_MISMATCH', `${dataDir} belongs to node ${held.nodeId} of cluster ${held.clusterId}, not to node ${nodeId} of cluster ${clusterId}`);
  }
  const own = held.members.find(({ id }) => id === nodeId);
  if (own?.role === 'removed') throw new CoordinatorError('MEMBER_REMOVED', `node ${nodeId} was removed from its cluster before; its state is not the cluster's`);
}

async function confirm(nodeId: string): Promise<void> {
  if (!process.stdin.isTTY) throw usage('nobody can be asked here; give --yes --i-understand-data-loss to go on without');
  const asked = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await asked.question(`Events that only the lost members have are given up. Type ${nodeId} to go on: `);
    if (answer.trim() !== nodeId) throw new CoordinatorError('ABORTED', 'nothing was changed', { committed: 'no' });
  } finally {
    asked.close();
  }
}

function pairs(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const cut = text.indexOf('=');
      if (cut < 1) throw usage(`--peer ${text} is not ID=HOST:PORT`);
      return [text.slice(0, cut), text.slice(cut + 1)];
    }),
  );
}

function describe(dataDir: string, held: HeldDirectory, voters: readonly VoterFound[]): string {
  const groups = held.groups.map(({ group, lastIndex, commitIndex, term, snapshotIndex, events }) => [group, lastIndex, commitIndex, term, snapshotIndex, events].map(String));
  return [
    facts([
      ['directory', dataDir],
      ['node', `${held.nodeId} of cluster ${held.clusterId}`],
      ['voters from now on', `${held.nodeId} alone`],
    ]),
    table(groups, ['group', 'last', 'commit mark', 'term', 'snapshot', 'events']),
    table(voters.map(({ id, address, state, found }) => [id, address ?? '-', state, found ?? '-']), ['voter', 'address', 'state', 'found there']),
  ].join('\n\n');
}
