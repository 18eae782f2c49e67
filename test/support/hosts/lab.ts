/**
 * Hosts in network namespaces, each with one wire to a switch, which is a bridge in a namespace of its own. Nothing of it touches
 * the machine's own network. It all goes at the end of the test, at the end of its process, or, where that was killed, when the
 * next lab is set up.
 */
import type { Undoing } from '../../helpers/cluster.js';
import { forget, forgetStale, ip, nameOf, run, runWithin, within } from './tools.js';

const NETWORK = '10.199.0';
const SWITCH = 'switch';
const PER_MILLE = 1000;
/** What a limited wire holds before it drops. */
const BUFFERED = { burst: '16kb', latency: '100ms' } as const;

let labs = 0;
const open = new Set<Lab>();
process.on('exit', () => {
  for (const lab of open) lab.close();
});

export class Lab {
  readonly #number: number;
  /** Rules of the switch, by what they are for. */
  readonly #rules = new Map<string, readonly string[]>();

  private constructor(readonly ids: readonly string[]) {
    labs += 1;
    this.#number = labs;
  }

  static set(t: Undoing, ids: readonly string[]): Lab {
    forgetStale();
    const lab = new Lab(ids);
    open.add(lab);
    t.teardown(() => lab.close());
    lab.#add(SWITCH, ['link add bridge type bridge', 'link set bridge up']);
    for (const id of ids) {
      lab.#add(id, [`link add eth0 type veth peer name ${id} netns ${lab.#namespace(SWITCH)}`, `address add ${lab.address(id)}/24 dev eth0`, 'link set eth0 up']);
      ip(lab.#namespace(SWITCH), [`link set dev ${id} master bridge up`]);
    }
    return lab;
  }

  #namespace(name: string): string {
    return nameOf(`${this.#number}-${name}`);
  }

  #add(name: string, lines: readonly string[]): void {
    run('ip', ['netns', 'add', this.#namespace(name)]);
    ip(this.#namespace(name), ['link set lo up', ...lines]);
  }

  address(id: string): string {
    return `${NETWORK}.${this.number(id)}`;
  }

  /** From 1 on. */
  number(id: string): number {
    const at = this.ids.indexOf(id);
    if (at === -1) throw new Error(`there is no host ${id}`);
    return at + 1;
  }

  /** What a command is put behind to run on a host. */
  within(id: string): readonly string[] {
    return within(this.#namespace(id));
  }

  /** Lines for `ip` on a host. */
  ip(id: string, lines: readonly string[]): void {
    ip(this.#namespace(id), lines);
  }

  /** Drops, without a word, what some send to others, from now on. */
  cutOneWay(from: readonly string[], to: readonly string[]): void {
    const pairs = from.flatMap((one) => to.filter((other) => other !== one).map((other) => `${this.#fromTo(one, other)} drop`));
    this.#rule(`cut ${from} ${to}`, pairs);
  }

  /** Both ways. */
  cut(some: readonly string[], others = this.ids.filter((id) => !some.includes(id))): void {
    this.cutOneWay(some, others);
    this.cutOneWay(others, some);
  }

  /** Loses that share of all packets between all. */
  lose(share: number): void {
    this.#rule('lose', [`ip protocol tcp numgen random mod ${PER_MILLE} < ${Math.round(share * PER_MILLE)} drop`]);
  }

  /** Ends cuts and losses. */
  heal(): void {
    this.#rules.clear();
    this.#write();
  }

  /** Lets a host send and receive no more than `rate` (of `tc`: `8mbit`); null for as much as there is. */
  limit(id: string, rate: string | null): void {
    for (const [namespace, device] of [[this.#namespace(id), 'eth0'], [this.#namespace(SWITCH), id]] as const) {
      const where = ['dev', device, 'root'];
      if (rate === null) runWithin(namespace, 'tc', ['qdisc', 'del', ...where]);
      else runWithin(namespace, 'tc', ['qdisc', 'replace', ...where, 'tbf', 'rate', rate, 'burst', BUFFERED.burst, 'latency', BUFFERED.latency]);
    }
  }

  /** Answers all that a host is sent over TCP with a reset, but resets, or no more. */
  refuse(id: string, on: boolean): void {
    const rules = on ? 'chain input {\ntype filter hook input priority 0; iifname "eth0" tcp flags & rst == 0 reject with tcp reset\n}\n' : '';
    runWithin(this.#namespace(id), 'nft', ['-f', '-'], `table inet lab {}\ndelete table inet lab\ntable inet lab {\n${rules}}\n`);
  }

  /** Ends all connections that a host has with others by a reset, in both directions. */
  reset(id: string): void {
    runWithin(this.#namespace(id), 'ss', ['-K', 'dst', `${NETWORK}.0/24`]);
  }

  /** Takes everything away. Twice does no harm; the last processes in a namespace must be gone or be about to go. */
  close(): void {
    if (!open.delete(this)) return;
    for (const name of [...this.ids, SWITCH]) forget(this.#namespace(name));
  }

  #fromTo(from: string, to: string): string {
    return `ip saddr ${this.address(from)} ip daddr ${this.address(to)}`;
  }

  #rule(name: string, rules: readonly string[]): void {
    this.#rules.set(name, rules);
    this.#write();
  }

  #write(): void {
    const rules = [...this.#rules.values()].flat().join('\n');
    runWithin(this.#namespace(SWITCH), 'nft', ['-f', '-'], `table bridge lab {}\ndelete table bridge lab\ntable bridge lab {\nchain forward { type filter hook forward priority 0;\n${rules}\n}\n}\n`);
  }
}
