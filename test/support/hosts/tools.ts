/** The system's commands for network namespaces, and what of them this machine lacks. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The system's own first: npm puts a package's command `nft` in front, and the administrator's may be missing. */
const ENVIRONMENT = { ...process.env, PATH: `/usr/sbin:/usr/bin:/sbin:/bin:${process.env['PATH'] ?? ''}` };
const NONE = -1;

/** When the process began, in the kernel's ticks: with its number, a name that is not used again. Null where there is none. */
function startOf(pid: string): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Fields are counted from behind the name, which may have spaces; it is the 22nd of all.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

const OWN = `vexcoord-lab-${process.pid}-${startOf('self')}`;

/** A namespace's name that tells whose it is. */
export const nameOf = (rest: string): string => `${OWN}-${rest}`;
const PROBED = nameOf('probe');

/** Runs a command to its end; throws with what it says against it. */
export function run(command: string, args: readonly string[], input = ''): string {
  try {
    return execFileSync(command, args, { env: ENVIRONMENT, input, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    throw new Error(`${command} ${args.join(' ')}: ${(stderr || message).trim()}`);
  }
}

/** Lines for `ip` in a namespace. */
export const ip = (namespace: string, lines: readonly string[]): string => run('ip', ['-n', namespace, '-batch', '-'], `${lines.join('\n')}\n`);

/** A command and its arguments, as they are run in a namespace, whatever the path of who runs it. */
export const within = (namespace: string): readonly string[] => [run('sh', ['-c', 'command -v ip']).trim(), 'netns', 'exec', namespace];

export function runWithin(namespace: string, command: string, args: readonly string[], input = ''): string {
  const [program, ...before] = within(namespace) as [string, ...string[]];
  return run(program, [...before, command, ...args], input);
}

/** What must work, in the order in which it is tried, and what is missing where it does not. */
const NEEDS: readonly (readonly [string, () => unknown])[] = [
  ['ip (Debian package iproute2)', () => run('ip', ['-V'])],
  ['tc (Debian package iproute2)', () => run('tc', ['-V'])],
  ['ss (Debian package iproute2)', () => run('ss', ['-V'])],
  ['nft (Debian package nftables)', () => run('nft', ['-v'])],
  ['the right to make network namespaces', () => run('ip', ['netns', 'add', PROBED])],
  ['bridges in the kernel', () => ip(PROBED, ['link add switch type bridge'])],
  ['veth in the kernel', () => ip(PROBED, ['link add one type veth peer name other'])],
  ['VXLAN in the kernel', () => ip(PROBED, ['link add far type vxlan id 1 remote 127.0.0.1 dstport 4789 nolearning'])],
  ['nftables with bridges and numgen in the kernel', () => runWithin(PROBED, 'nft', ['add table bridge t; add chain bridge t c; add rule bridge t c numgen random mod 10 < 1 drop'])],
  ['reject of nftables in the kernel', () => runWithin(PROBED, 'nft', ['add table inet t; add chain inet t c; add rule inet t c meta l4proto tcp reject with tcp reset'])],
  ['the queueing discipline tbf in the kernel', () => runWithin(PROBED, 'tc', ['qdisc', 'add', 'dev', 'one', 'root', 'tbf', 'rate', '8mbit', 'burst', '16kb', 'latency', '100ms'])],
];

/** Why there can be no hosts on this machine, in words; null where there can. */
export function missing(): string | null {
  if (process.platform !== 'linux') return 'network namespaces are of Linux';
  if ((process.getuid?.() ?? NONE) !== 0) return 'network namespaces are made by root';
  try {
    for (const [what, attempt] of NEEDS) {
      try {
        attempt();
      } catch (error) {
        return `this machine lacks ${what}: ${(error as Error).message}`;
      }
    }
    return null;
  } finally {
    forget(PROBED);
  }
}

/** Takes a namespace away, with all that is in it; it may have gone. */
export function forget(namespace: string): void {
  try {
    run('ip', ['netns', 'del', namespace]);
  } catch {}
}

/** The names of all namespaces. */
export const namespaces = (): string[] => run('ip', ['netns', 'list']).split('\n').map((line) => line.split(' ')[0] ?? '').filter((name) => name !== '');

/** Takes away the namespaces of processes that are gone. */
export function forgetStale(): void {
  for (const name of namespaces()) {
    const [, pid = '', start = ''] = /^vexcoord-lab-(\d+)-(\d+)-/.exec(name) ?? [];
    if (pid !== '' && startOf(pid) !== start) forget(name);
  }
}
