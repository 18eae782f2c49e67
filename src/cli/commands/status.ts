import type { Command } from 'commander';
import type { CausalLaneStatus, GroupStatus, MemberStatus, Status } from '../../contracts/index.js';
import { statusToJson } from '../../events/index.js';
import { apiOption, outputOption, timeoutOption } from '../arguments.js';
import { type ApiFlags, firstAnswer } from '../nodes.js';
import { facts, type OutputFormat, table, writeJson, writeLine } from '../output.js';

interface StatusFlags extends ApiFlags {
  readonly output: OutputFormat;
  readonly timeoutMs: number;
}

export function registerStatus(program: Command): void {
  const command = program
    .command('status')
    .description('show what a node knows of itself and of the cluster')
    .addHelpText('after', '\nExample:\n  vexcoord status --api 127.0.0.1:7401 --output json')
    .action(status);
  timeoutOption(apiOption(outputOption(command)), 'how long to wait for the answer');
}

async function status(flags: StatusFlags): Promise<void> {
  const answer = await firstAnswer(flags, (client) => client.status({ timeoutMs: flags.timeoutMs }));
  if (flags.output === 'json') return writeJson(statusToJson(answer));
  await writeLine(describe(answer));
}

function describe(status: Status): string {
  const { disk, health } = status;
  const [first] = status.groups;
  const lines = facts([
    ['node', `${status.nodeId} of cluster ${status.clusterId}, version ${status.version}`],
    ['health', [health.state, ...health.reasons].join('; ')],
    ['role', `${status.role} in term ${status.term}${status.leader === null ? ', no leader known' : `, leader ${status.leader}`}`],
    ['elections', `after ${timeouts(status.groups)} ms without a leader (network profile ${status.network.profile})`],
    ['ordered lane', status.lanes.ordered],
    ['causal lane', causalLane(status.lanes.causal)],
    ['committed', `index ${status.commitIndex}, applied ${status.appliedIndex}, hash ${status.applyHash}`],
    ['log', `${disk.logBytes} bytes in ${disk.segments} segments (${disk.heldBackBytes} bytes held back), fdatasync p50 ${Math.round(disk.syncP50Us)} µs, in ${disk.dataDir}`],
    ['consistency', `${percentage(Math.min(...status.groups.map((group) => group.consistencyPercentage)))} of the last minute's (event, member) pairs agreed within a second`],
    ['journal', `from index ${first?.firstIndex ?? 0n}, newest snapshot at ${first?.snapshot.index ?? 0n}`],
  ]);
  const members = status.members.map((member) => [
    member.id,
    member.role,
    member.health,
    member.matchIndex?.toString() ?? '-',
    member.address ?? '-',
    roundTrip(member),
    sent(member),
    member.refused ?? '',
  ]);
  const parts = [lines, table(members, ['member', 'role', 'health', 'match', 'address', 'round trip p50 / p99', 'sent / received', 'refused'])];
  if (status.groups.length > 1) parts.push(table(status.groups.map(groupRow), ['group', 'role', 'leader', 'term', 'commit', 'applied', 'first', 'snapshot', 'events', 'consistency']));
  return parts.join('\n\n');
}

/** Of all groups: they have the same unless their voters differ. */
function timeouts(groups: readonly GroupStatus[]): string {
  const pairs = groups.map(({ electionTimeoutMs }) => electionTimeoutMs);
  return `${Math.min(...pairs.map(([least]) => least))} to ${Math.max(...pairs.map(([, most]) => most))}`;
}

function roundTrip({ traffic }: MemberStatus): string {
  const times = traffic?.links.find(({ channel }) => channel === 'urgent')?.roundTrip;
  return times == null ? '-' : `${milliseconds(times.p50Us)} / ${milliseconds(times.p99Us)} ms`;
}

const milliseconds = (us: number): string => (us / 1000).toPrecision(3);

function sent({ traffic }: MemberStatus): string {
  if (traffic === null) return '-';
  return `${mebibytes(traffic.links.reduce((sum, { sentBytes }) => sum + sentBytes, 0))} / ${mebibytes(traffic.receivedBytes)} MiB`;
}

const mebibytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(1);

function causalLane({ actor, origins }: CausalLaneStatus): string {
  const missing = origins.filter(({ delivered, known }) => delivered < known).length;
  return [actor === null ? 'waits for the others to say how it goes on' : `writes as ${actor}`, origins.length === 1 ? 'one origin' : `${origins.length} origins`, ...(missing === 0 ? [] : [`${missing} not followed to their ends`])].join(', ');
}

function groupRow({ group, role, leader, term, commitIndex, appliedIndex, firstIndex, snapshot, events, consistencyPercentage }: GroupStatus): string[] {
  return [group, role, leader ?? '-', term, commitIndex, appliedIndex, firstIndex, snapshot.index, events, percentage(consistencyPercentage)].map(String);
}

/** Rounded down: 100 % is said of nothing less. */
function percentage(value: number): string {
  return `${Math.floor(value * 100) / 100} %`;
}
