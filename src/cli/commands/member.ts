import { Argument, type Command, InvalidArgumentError } from 'commander';
import type { ApiClient } from '../../api/index.js';
import type { MemberChange, MemberStatus } from '../../contracts/index.js';
import { jsonOf } from '../../events/index.js';
import { apiOption, outputOption, timeoutOption } from '../arguments.js';
import { type ApiFlags, firstAnswer } from '../nodes.js';
import { type OutputFormat, table, writeJson, writeLine } from '../output.js';

interface MemberFlags extends ApiFlags {
  readonly output: OutputFormat;
  readonly timeoutMs: number;
}

interface Named {
  readonly id: string;
  readonly address: string;
}

export function registerMember(program: Command): void {
  const member = program
    .command('member')
    .description('show and change who belongs to the cluster')
    .addHelpText('after', '\nExample:\n  vexcoord member add d=127.0.0.1:7430 && vexcoord member promote d');
  const command = (name: string, description: string, example: string): Command => {
    const made = member.command(name).description(description).addHelpText('after', `\nExample:\n  ${example}`);
    return timeoutOption(apiOption(outputOption(made)), 'how long to wait for the cluster');
  };
  command('list', 'list everyone there ever was', 'vexcoord member list --api 127.0.0.1:7401').action(list);
  command('add', 'add a member as a learner; start it with --join', 'vexcoord member add d=127.0.0.1:7430')
    .addArgument(new Argument('<id=host:port>', 'its id and its peer address').argParser(named))
    .action(({ id, address }: Named, flags: MemberFlags) => change(flags, `${id} is a learner; it becomes a voter by "vexcoord member promote ${id}"`, (client, options) => client.addMember(id, address, options)));
  command('promote', 'make a learner that has caught up a voter', 'vexcoord member promote d')
    .argument('<id>', 'the learner')
    .action((id: string, flags: MemberFlags) => change(flags, `${id} is a voter`, (client, options) => client.promoteMember(id, options)));
  command('remove', 'remove a member for good; its id is never used again', 'vexcoord member remove b')
    .argument('<id>', 'the member')
    .action((id: string, flags: MemberFlags) => change(flags, `${id} was removed`, (client, options) => client.removeMember(id, options)));
  command('replace', "put a learner that has caught up in a voter's place, in one step", 'vexcoord member replace b d')
    .argument('<old>', 'the voter that goes')
    .argument('<new>', 'the learner that takes its place')
    .action((oldId: string, newId: string, flags: MemberFlags) => change(flags, `${newId} has taken the place of ${oldId}`, (client, options) => client.replaceMember(oldId, newId, options)));
}

async function list(flags: MemberFlags): Promise<void> {
  const members = await firstAnswer(flags, (client) => client.listMembers({ timeoutMs: flags.timeoutMs }));
  if (flags.output === 'json') return writeJson({ members: jsonOf(members) });
  await writeLine(table(members.map(rowOf), ['member', 'role', 'health', 'match', 'address']));
}

type Change = (client: ApiClient, options: { readonly timeoutMs: number }) => Promise<MemberChange>;

async function change(flags: MemberFlags, done: string, ask: Change): Promise<void> {
  const answer = await firstAnswer(flags, (client) => ask(client, { timeoutMs: flags.timeoutMs }));
  if (flags.output === 'json') return writeJson(jsonOf(answer) as object);
  await writeLine(answer.settled ? `${done}.` : `${done}; not every group's configuration has followed yet, and the next change waits for that.`);
}

const rowOf = ({ id, role, health, matchIndex, address }: MemberStatus): string[] => [id, role, health, matchIndex?.toString() ?? '-', address ?? '-'];

/** What the id and the address may be is the node's to say. */
function named(text: string): Named {
  const cut = text.indexOf('=');
  if (cut < 1) throw new InvalidArgumentError('It must be ID=HOST:PORT.');
  return { id: text.slice(0, cut), address: text.slice(cut + 1) };
}
