/** Membership: what an operator asks for, handed to group 0's leader, and how it ended. */
import type { MemberChange, Members, MemberStatus, TransferOptions, WaitOptions } from '../contracts/index.js';
import { canonicalAddress, isDialable, isNodeId, parseAddress, SOCKET_FORM } from '../config/index.js';
import { checkTimeout, CoordinatorError, type ErrorCode } from '../errors/index.js';
import { type Core, END, packMemberCommand } from '../native/index.js';
import { groupOf } from './groups.js';
import type { Requests } from './requests.js';
import type { Roster, RosterMember } from './roster.js';

export interface MembersPorts {
  readonly core: Core;
  readonly requests: Requests;
  readonly roster: Roster;
  readonly groups: number;
  readonly timeoutMs: number;
  /** Throws when the node takes nothing any more. */
  check(): void;
  list(): readonly MemberStatus[];
}

/** The group that keeps the table. */
const FIRST_GROUP = 0;
const POLL_MS = 20;
/** A transfer that the leader has not carried out by then is asked for again. */
const ASK_AGAIN_MS = 500;

const UNKNOWN = 3;
const PENDING = 8;
const OF_A_LEARNER = 12;
const NO_MAJORITY = 13;
/** By the number it travels under (docs/formats.md, "Member commands"): code, and what it says of the member. */
const REFUSALS: Readonly<Record<number, readonly [ErrorCode, string]>> = {
  1: ['MEMBER_EXISTS', 'is a member already'],
  2: ['MEMBER_ID_USED', 'was a member before; ids are never used again'],
  [UNKNOWN]: ['MEMBER_UNKNOWN', 'is not a member'],
  4: ['MEMBER_IS_VOTER', 'is a voter already'],
  5: ['LAST_VOTER', 'is the last voter, which cannot be removed'],
  6: ['VOTERS_MAX', 'would be one voter too many; at most 7 are allowed'],
  7: ['MEMBERS_MAX', 'would be one member too many; at most 64 are allowed'],
  [PENDING]: ['CHANGE_PENDING', 'has to wait: the change before this one is not finished'],
  9: ['LEARNER_LAGGING', 'has not caught up with the log'],
  10: ['MEMBER_ID_COLLISION', 'has the same hash as another member; choose another id'],
  [OF_A_LEARNER]: ['MEMBER_NOT_LEARNER', 'is a learner; only a voter can be replaced'],
  [NO_MAJORITY]: ['MAJORITY_UNREACHABLE', 'has to wait: of the voters that there would be no majority answers'],
};

export class NodeMembers implements Members {
  readonly #ports: MembersPorts;

  constructor(ports: MembersPorts) {
    this.#ports = ports;
  }

  list(): readonly MemberStatus[] {
    return this.#ports.list();
  }

  async add(id: string, address: string, options: WaitOptions = {}): Promise<MemberChange> {
    checkId(id);
    if (!isDialable(parseAddress(address))) throw new CoordinatorError('MEMBER_INVALID', `the address ${JSON.stringify(address)} of member ${id} is neither HOST:PORT with a port from 1 to 65535, nor ${SOCKET_FORM}`);
    this.#refuseShared(id, address);
    return this.#change('add', id, address, () => id, options);
  }

  async promote(id: string, options: WaitOptions = {}): Promise<MemberChange> {
    checkId(id);
    return this.#change('promote', id, '', () => id, options);
  }

  async remove(id: string, options: WaitOptions = {}): Promise<MemberChange> {
    checkId(id);
    return this.#change('remove', id, '', () => id, options);
  }

  async replace(oldId: string, newId: string, options: WaitOptions = {}): Promise<MemberChange> {
    checkId(oldId);
    checkId(newId);
    const whose = (refusal: number): string => {
      if (refusal === PENDING) return `the replacement of ${oldId} by ${newId}`;
      if (refusal === OF_A_LEARNER || refusal === NO_MAJORITY) return oldId;
      if (refusal !== UNKNOWN) return newId;
      const [unknown = `${oldId} or ${newId}`] = [oldId, newId].filter((id) => this.#find(id) === undefined);
      return unknown;
    };
    return this.#change('replace', oldId, newId, whose, options);
  }

  /** Who belongs to the cluster, as far as this node has heard. */
  #find(id: string): RosterMember | undefined {
    return this.#present().find((member) => member.id === id);
  }

  #present(): readonly RosterMember[] {
    const { roster } = this.#ports;
    roster.refresh();
    return roster.members.filter(({ role }) => role !== 'removed');
  }

  /** Whoever dials the address would reach one of the two, and the id would be used up. */
  #refuseShared(id: string, address: string): void {
    const holder = this.#present().find((member) => member.id !== id && member.address !== null && canonicalAddress(member.address) === canonicalAddress(address));
    if (holder !== undefined) throw new CoordinatorError('MEMBER_INVALID', `the address ${address} of member ${id} is that of ${holder.id}, which belongs to the cluster; give an address of its own, or remove ${holder.id} first`);
  }

  async transferLeadership(id: string, options: TransferOptions = {}): Promise<void> {
    const { core, roster, groups, check } = this.#ports;
    check();
    checkId(id);
    const chosen = options.group === undefined ? Array.from({ length: groups }, (_, group) => group) : [groupOf(options.group, groups)];
    const member = this.#find(id);
    if (member === undefined) throw new CoordinatorError('MEMBER_UNKNOWN', `${id} is not a member`);
    if (member.role !== 'voter') throw new CoordinatorError('MEMBER_NOT_VOTER', `${id} is a ${member.role}; only a voter can lead`);
    const led = (): boolean => {
      const status = core.status();
      return chosen.every((group) => {
        const leader = status.groups[group]?.leader;
        return leader != null && roster.nameOf(leader) === id;
      });
    };
    let askAt = 0;
    const done = await this.#until(options, () => {
      if (led()) return true;
      const nowMs = this.#ports.requests.nowMs();
      if (nowMs >= askAt) {
        askAt = nowMs + ASK_AGAIN_MS;
        for (const group of chosen) core.transferLeadership(group, id);
      }
      return false;
    });
    if (!done) throw new CoordinatorError('TRANSFER_FAILED', `${id} did not become the leader in time; leadership is where it was, or with another voter`);
  }

  async #change(command: 'add' | 'promote' | 'remove' | 'replace', id: string, second: string, whose: (refusal: number) => string, options: WaitOptions): Promise<MemberChange> {
    const { core, requests, roster, check } = this.#ports;
    check();
    const timeoutMs = checkTimeout(options.timeoutMs ?? this.#ports.timeoutMs);
    const begunMs = requests.nowMs();
    const bytes = packMemberCommand(command, id, second);
    const end = await requests.make({ what: `the change of member ${id}`, group: FIRST_GROUP, timeoutMs, signal: options.signal }, (request) => core.memberCommand(request, bytes));
    if (end.kind === END.membersRefused) throw refusalOf(end.count, whose(end.count));
    const left = Math.max(1, timeoutMs - (requests.nowMs() - begunMs));
    // The table is changed; each group's configuration follows, and the next change has to wait until it has.
    const settled = await this.#until({ ...options, timeoutMs: left }, () => {
      const status = core.status();
      roster.refresh(status);
      // The end of a command may be heard of before the table that it makes.
      return status.tableVersion >= end.index && roster.isSettled(status.groups);
    }).catch((error: unknown) => {
      // Who has removed itself is told so before its configuration says it.
      if (command === 'remove' && error instanceof CoordinatorError && error.code === 'MEMBER_REMOVED') return true;
      throw error;
    });
    return { index: end.index, settled, members: this.list() };
  }

  /** Whether a condition came to hold in time. */
  async #until(options: WaitOptions, condition: () => boolean): Promise<boolean> {
    const deadlineMs = this.#ports.requests.nowMs() + checkTimeout(options.timeoutMs ?? this.#ports.timeoutMs);
    for (;;) {
      if (condition()) return true;
      if (options.signal?.aborted || this.#ports.requests.nowMs() >= deadlineMs) return false;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      this.#ports.check();
    }
  }
}

function checkId(id: string): void {
  if (!isNodeId(id)) throw new CoordinatorError('MEMBER_INVALID', `${JSON.stringify(id)} is no member id: 1 to 64 of the characters A-Z a-z 0-9 . _ -, beginning with a letter or digit`);
}

function refusalOf(number: number, named: string): CoordinatorError {
  const [code, what] = REFUSALS[number] ?? ['INTERNAL' as const, `was refused for a reason this release does not know (${number})`];
  return new CoordinatorError(code, `${named} ${what}`, { committed: 'no' });
}
