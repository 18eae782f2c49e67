import { LIMITS } from '../contracts/index.js';
import { canonicalAddress, isDialable, isLocal, parseAddress, peerAddressOf } from './address.js';
import { levelProblems } from './level-checks.js';
import type { ResolvedConfig } from './schema.js';
import type { Origin, Problem } from './sources.js';

type OriginOf = (name: string) => Origin;

/** Addresses of this member's own ports, by name; switched-off ones are left out, and the admin port's default, which nothing opens yet. */
function ownAddresses(config: ResolvedConfig, originOf: OriginOf): [string, string][] {
  const all: [string, string | false][] = [
    ['listen', config.listen],
    ['api', config.api],
    ['admin', originOf('admin').source === 'default' ? false : config.admin],
  ];
  return all.filter((pair): pair is [string, string] => pair[1] !== false);
}

/** Ports that have TLS once there are certificates. */
const ENCRYPTED: readonly string[] = ['listen', 'api'];

/** What others can reach in plain text. */
function exposed({ security }: ResolvedConfig, served: readonly [string, string][]): [string, string][] {
  return served.filter(([name, text]) => {
    const address = parseAddress(text);
    return address !== null && !isLocal(address) && !(security.tls !== null && ENCRYPTED.includes(name));
  });
}

/** Loud where everybody who reaches a port can read and write. */
export function insecureWarnings(config: ResolvedConfig, originOf: OriginOf): string[] {
  if (!config.security.insecure) return [];
  return exposed(config, ownAddresses(config, originOf)).map(
    ([name, text]) => `INSECURE: ${name} is ${text}, in plain text and without any proof of who connects, since security.insecure (${originOf('security.insecure').label}) says so: everyone who reaches it can read and write.`,
  );
}

const isMemory = (text: string): boolean => 'memory' in (parseAddress(text) ?? {});

/** Two names that cannot both have this value: a port of 0 never clashes. */
function* clashes(pairs: Iterable<[string, string]>): Generator<[string, string, string]> {
  const seen = new Map<string, string>();
  for (const [name, text] of pairs) {
    const address = canonicalAddress(text);
    const first = seen.get(address);
    if (first !== undefined && isDialable(parseAddress(text))) yield [name, first, text];
    else seen.set(address, name);
  }
}

/** Checks between names; each name's own range has passed before. */
export function crossCheck(config: ResolvedConfig, originOf: OriginOf): Problem[] {
  const problems: Problem[] = [];
  const report = (name: string, rest: string, code: Problem['code'] = 'CONFIG_INVALID') => {
    const origin = originOf(name);
    problems.push({ code, name, origin, message: `${name} (${origin.label}) ${rest}` });
  };

  const [electionMinMs, electionMaxMs] = config.raft.electionTimeoutMs;
  if (electionMinMs > electionMaxMs) {
    report('raft.electionTimeoutMs', `is [${electionMinMs},${electionMaxMs}]; allowed: two whole numbers from 10 to 60000, the smaller first.`);
  } else if (config.raft.heartbeatIntervalMs * 2 > electionMinMs) {
    report(
      'raft.heartbeatIntervalMs',
      `is ${config.raft.heartbeatIntervalMs}; allowed: at most half of the shorter raft.electionTimeoutMs, which is ${electionMinMs} (${originOf('raft.electionTimeoutMs').label}).`,
    );
  }

  const own = peerAddressOf(config.peers, config.nodeId);
  if (own !== undefined && canonicalAddress(own) !== canonicalAddress(config.listen)) {
    report('peers', `gives this node, ${config.nodeId}, the address ${own}; allowed: the other members only, or this one at its listen address ${config.listen}.`);
  }
  const others = Object.entries(config.peers).filter(([id]) => id !== config.nodeId);
  // Founders are voters; a node that joins may know of learners as well.
  if (config.join && others.length + 1 > LIMITS.membersMax) {
    report('peers', `names ${others.length} other members; allowed: at most ${LIMITS.membersMax - 1}, since a cluster has at most ${LIMITS.membersMax} members.`);
  } else if (!config.join && others.length + 1 > LIMITS.votersMax) {
    report('peers', `names ${others.length} other members; allowed: at most ${LIMITS.votersMax - 1}, since a cluster has at most ${LIMITS.votersMax} voters.`);
  }
  const dialled: [string, string][] = others.map(([id, address]) => [`peers.${id}`, address]);
  for (const [name, first, address] of clashes([['listen', config.listen], ...dialled])) {
    report('peers', `gives ${name.slice('peers.'.length)} the address ${address}; allowed: an address of its own, since ${first} has this one.`);
  }

  const served = ownAddresses(config, originOf);
  for (const [name, first, address] of clashes(served)) report(name, `is "${address}"; allowed: an address of its own, since ${first} has this one.`);
  for (const [name, text] of exposed(config, served)) {
    if (config.security.insecure) continue;
    const how = ENCRYPTED.includes(name) ? 'unless security.tls is given, or security.insecure is true' : 'since it has no TLS in this release, unless security.insecure is true';
    report(name, `is "${text}"; allowed: a loopback address such as 127.0.0.1:${text.split(':').at(-1)}, ${how}.`, 'ADDRESS_REFUSED');
  }
  const { allowedPeers, tls } = config.security;
  if (isMemory(config.listen) && tls !== null) report('security.tls', `names files; allowed: null with listen at ${config.listen}, since nobody has to prove anything within one process.`);
  const stray = others.find(([, address]) => isMemory(address) !== isMemory(config.listen));
  if (stray !== undefined) {
    const [id, address] = stray;
    report('peers', `gives ${id} the address ${address} while this node listens at ${config.listen}; allowed: memory:NAME for all members, which are in one process then, or for none.`);
  }
  if (allowedPeers.length > 0 && tls === null) report('security.allowedPeers', 'names members; allowed: none without security.tls, since nobody proves who he is without it.');
  const left = others.map(([id]) => id).filter((id) => allowedPeers.length > 0 && !allowedPeers.includes(id));
  if (left.length > 0) report('security.allowedPeers', `leaves out ${left.join(', ')}; allowed: all that peers names, and who else may become a member.`);

  for (const { name, path, rest } of levelProblems(config, (one) => originOf(one).label)) {
    const origin = originOf(name);
    problems.push({ code: 'CONFIG_INVALID', name: `${name}.${path}`, origin, message: `${name}.${path} (${origin.label}) ${rest}` });
  }

  const codes = new Map<number, string>();
  for (const [type, code] of Object.entries(config.eventTypes)) {
    const first = codes.get(code);
    if (first === undefined) codes.set(code, type);
    else report('eventTypes', `gives ${type} the code ${code}; allowed: a code of its own, since ${first} has this one.`);
  }
  return problems;
}
