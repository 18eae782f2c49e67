/** Rules of replication as the core takes and has them (docs/formats.md, "Rules of replication"). */
import type { AgreedReplication, ReplicationRule, ReplicationRules } from '../contracts/index.js';
import { LIMITS } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { CATEGORIES, type Catalogue, EVENT_PRIORITIES } from './catalogue.js';
import { filterOf } from './where.js';

const PRIORITY_MAX = Math.max(...Object.values(EVENT_PRIORITIES));
/** Of a rule at most (native/core/src/replication.rs). */
const GLOBS_MAX = 32;
const CODES_MAX = 64;

const refuse = (message: string) => new CoordinatorError('REPLICATION_INVALID', message, { committed: 'no' });
const listOf = <T>(value: T | readonly T[] | undefined): readonly T[] => (value === undefined ? [] : Array.isArray(value) ? (value as readonly T[]) : [value as T]);
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Packs rules that a caller has written down. Throws `REPLICATION_INVALID` for what nobody could mean; what concerns the whole table is the core's to say. */
export function packReplication(rules: ReplicationRules, catalogue: Catalogue): Buffer {
  const { regions = {}, rules: list } = fieldsOf(rules, ['regions', 'rules'], 'the table') as { regions?: unknown; rules?: unknown };
  if (!isRecord(regions)) throw refuse('regions is no object of node ids by region.');
  if (!Array.isArray(list)) throw refuse('rules is no list of rules.');
  const names = Object.keys(regions).sort();
  return Buffer.concat([
    counted(names, LIMITS.replicationRegionsMax, 'regions'),
    ...names.flatMap((name) => [text(named(name, 'a region')), texts(nodesOf(regions[name], `regions.${name}`), LIMITS.membersMax, `regions.${name}`)]),
    counted(list, LIMITS.replicationRulesMax, 'rules'),
    ...list.map((rule: unknown, at) => packRule(rule, at, names, catalogue)),
  ]);
}

function packRule(value: unknown, at: number, regions: readonly string[], catalogue: Catalogue): Buffer {
  const rule = fieldsOf(value, ['name', 'match', 'holders'], `rules[${at}]`) as Partial<ReplicationRule>;
  const name = named(rule.name, `rules[${at}].name`);
  const where = `the rule ${JSON.stringify(name)}`;
  const { priority, ...match } = fieldsOf(rule.match ?? {}, ['type', 'path', 'priority'], `match of ${where}`) as NonNullable<ReplicationRule['match']>;
  const holders = fieldsOf(rule.holders, ['nodes', 'regions'], `holders of ${where}`) as ReplicationRule['holders'];
  const { codes, categories, globs } = filterIn(match, where, catalogue);
  const inRegions = nodesOf(holders.regions ?? [], `holders.regions of ${where}`);
  const unknown = inRegions.find((region) => !regions.includes(region));
  if (unknown !== undefined) throw refuse(`${where} names the region ${JSON.stringify(unknown)}, which the table does not have.`);
  return Buffer.concat([
    text(name),
    Buffer.of(bitsOf(listOf(priority), where)),
    numbers(codes, where),
    numbers(categories, where),
    texts(globs, GLOBS_MAX, `match.path of ${where}`),
    texts(nodesOf(holders.nodes ?? [], `holders.nodes of ${where}`), LIMITS.membersMax, `holders.nodes of ${where}`),
    texts(inRegions, LIMITS.replicationRegionsMax, `holders.regions of ${where}`),
  ]);
}

function filterIn(match: object, where: string, catalogue: Catalogue) {
  try {
    return filterOf(match, catalogue);
  } catch (thrown) {
    const cause = CoordinatorError.from(thrown);
    throw new CoordinatorError('REPLICATION_INVALID', `${where} matches nothing that can be understood: ${cause.message}`, { cause, committed: 'no' });
  }
}

function fieldsOf(value: unknown, allowed: readonly string[], where: string): object {
  if (!isRecord(value)) throw refuse(`${where} is no object of ${allowed.join(', ')}.`);
  const other = Object.keys(value).find((field) => !allowed.includes(field));
  if (other !== undefined) throw refuse(`${where} has a field ${JSON.stringify(other)}; allowed: ${allowed.join(', ')}.`);
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined));
}

function named(name: unknown, where: string): string {
  if (typeof name !== 'string' || name === '' || Buffer.byteLength(name) > LIMITS.nodeIdBytesMax) throw refuse(`${where} is ${JSON.stringify(name)}; a name of 1 to ${LIMITS.nodeIdBytesMax} bytes is allowed.`);
  return name;
}

function nodesOf(value: unknown, where: string): readonly string[] {
  if (!Array.isArray(value)) throw refuse(`${where} is no list of names.`);
  return value.map((one) => named(one, where));
}

function bitsOf(priorities: readonly unknown[], where: string): number {
  return priorities.reduce<number>((bits, priority) => {
    if (typeof priority !== 'number' || !Number.isInteger(priority) || priority < 1 || priority > PRIORITY_MAX) throw refuse(`${where} has the priority ${JSON.stringify(priority)}; allowed: 1 to ${PRIORITY_MAX}.`);
    return bits | (1 << priority);
  }, 0);
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function counted(list: readonly unknown[], most: number, what: string): Buffer {
  if (list.length > most) throw refuse(`${what} has ${list.length} entries; at most ${most} are allowed.`);
  return u16(list.length);
}

const text = (value: string): Buffer => Buffer.concat([u16(Buffer.byteLength(value)), Buffer.from(value, 'utf8')]);
const texts = (list: readonly string[], most: number, what: string): Buffer => Buffer.concat([counted(list, most, what), ...list.map(text)]);
const numbers = (list: readonly number[], where: string): Buffer => Buffer.concat([counted(list, CODES_MAX, `match.type of ${where}`), ...list.map(u16)]);

/** Reads the rules that a node has applied: their version in front. */
export function unpackReplication(packed: Uint8Array, catalogue: Catalogue): AgreedReplication {
  const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
  let at = 8;
  const number = (): number => {
    at += 2;
    return bytes.readUInt16LE(at - 2);
  };
  const word = (): string => {
    const length = number();
    at += length;
    return bytes.toString('utf8', at - length, at);
  };
  const list = <T>(one: () => T): T[] => Array.from({ length: number() }, one);
  const version = bytes.readBigUInt64LE(0);
  const regions = Object.fromEntries(list(() => [word(), list(word)] as const));
  const rules = list((): ReplicationRule => {
    const name = word();
    const bits = bytes.readUInt8(at++);
    const codes = list(number).map((code) => catalogue.nameOf(code));
    const categories = list(number).map((base) => Object.entries(CATEGORIES).find(([, known]) => known === base)?.[0] ?? String(base));
    const [path, nodes, of] = [list(word), list(word), list(word)];
    const priority = Array.from({ length: PRIORITY_MAX }, (_, one) => one + 1).filter((one) => (bits >> one) & 1);
    const type = [...categories, ...codes];
    const match = { ...(type.length > 0 ? { type } : {}), ...(path.length > 0 ? { path } : {}), ...(priority.length > 0 ? { priority } : {}) };
    return { name, ...(Object.keys(match).length > 0 ? { match } : {}), holders: { ...(nodes.length > 0 ? { nodes } : {}), ...(of.length > 0 ? { regions: of } : {}) } };
  });
  return { version, regions, rules };
}
