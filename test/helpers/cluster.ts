/** Clusters for tests: where their members live, members in this process, and what must be true of their journals. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { newEventId } from '../../dist/events/index.js';
import { Coordinator, type CoordinatorConfig, type CoordinatorError, type Delivery, type EventInput, type Status, type SubscribeOptions } from '../../dist/index.js';
import { scanLog } from '../../dist/native/index.js';

const POLL_MS = 10;
/** Long enough for a busy machine: a condition that never comes fails the test, a slow one does not. */
const PATIENCE_MS = 40_000;
/** A term of office that a busy machine does not end by accident. */
const ELECTION_MS: [number, number] = [400, 800];

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `condition` holds; a throw counts as not yet. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, patienceMs = PATIENCE_MS): Promise<void> {
  const deadline = performance.now() + patienceMs;
  let last: unknown = null;
  for (;;) {
    try {
      if (await condition()) return;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) throw new Error(`waited ${patienceMs / 1000} s in vain for ${what}`, { cause: last });
    await sleep(POLL_MS);
  }
}

/** Asks for a change of members until it is made: one at a time is, of those who have caught up. */
export async function persist(what: string, ask: () => Promise<unknown>): Promise<void> {
  await until(what, async () => {
    try {
      await ask();
      return true;
    } catch (error) {
      if (['LEARNER_LAGGING', 'CHANGE_PENDING', 'TIMEOUT'].includes((error as { code: string }).code)) return false;
      if (['MEMBER_EXISTS', 'MEMBER_IS_VOTER'].includes((error as { code: string }).code)) return true;
      throw error;
    }
  });
}

/** Whoever can be told what is to be undone at the end: a test, or a run of the endurance command. */
export type Undoing = Pick<ExecutionContext, 'teardown'>;

/** A directory that goes with the test. */
export function room(t: Undoing): string {
  const directory = mkdtempSync(join(tmpdir(), 'vexcoord-test-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Below those that the system gives to outgoing connections: one of these could hold a member's port while it is down. */
const PORTS = { first: 10_000, each: 100, processes: 220 };
/** Every test process has ports of its own. */
const firstPort = PORTS.first + (process.pid % PORTS.processes) * PORTS.each;
let portsTaken = 0;

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let tried = 0; ports.length < count; tried++) {
    if (tried === PORTS.each) throw new Error(`no ${count} ports are free from ${firstPort} on`);
    const port = firstPort + (portsTaken++ % PORTS.each);
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

/** Where a member runs that is not on loopback. */
export interface Host {
  readonly address: string;
  /** What its process's command is put behind. */
  readonly within: readonly string[];
  /** Settings that are this member's own. */
  readonly config: Partial<CoordinatorConfig>;
}

/** Of members that have a host each. */
const HOST_PORT = 7400;

/** Names, places and addresses of a cluster's members. */
export class Plan {
  private constructor(
    readonly ids: readonly string[],
    readonly directory: string,
    readonly ports: ReadonlyMap<string, number>,
    readonly more: Partial<CoordinatorConfig>,
    /** Where the members serve their API; empty for none. */
    readonly apiPorts: ReadonlyMap<string, number> = new Map(),
    /** Empty where all are on loopback. */
    readonly hosts: ReadonlyMap<string, Host> = new Map(),
  ) {}

  static async of(t: Undoing, more: Partial<CoordinatorConfig> = {}, ids: readonly string[] = ['a', 'b', 'c'], spares: readonly string[] = []): Promise<Plan> {
    const all = [...ids, ...spares];
    const ports = await freePorts(all.length);
    return new Plan(ids, room(t), new Map(all.map((id, at) => [id, ports[at] as number])), more);
  }

  /** In a directory that is there, with an API at every member. */
  static async serving(directory: string, more: Partial<CoordinatorConfig> = {}, ids: readonly string[] = ['a', 'b', 'c'], spares: readonly string[] = []): Promise<Plan> {
    const all = [...ids, ...spares];
    const ports = await freePorts(2 * all.length);
    const numbered = (from: number): Map<string, number> => new Map(all.map((id, at) => [id, ports[from + at] as number]));
    return new Plan(ids, directory, numbered(0), more, numbered(all.length));
  }

  /** One member on each host. */
  static on(directory: string, hosts: ReadonlyMap<string, Host>, more: Partial<CoordinatorConfig> = {}): Plan {
    const ids = [...hosts.keys()];
    return new Plan(ids, directory, new Map(ids.map((id) => [id, HOST_PORT])), more, new Map(), hosts);
  }

  /** The same members with their files elsewhere. */
  in(directory: string): Plan {
    return new Plan(this.ids, directory, this.ports, this.more, this.apiPorts, this.hosts);
  }

  dataDir(id: string): string {
    return join(this.directory, id);
  }

  address(id: string): string {
    return `${this.hosts.get(id)?.address ?? '127.0.0.1'}:${this.ports.get(id)}`;
  }

  apiAddress(id: string): string {
    return `127.0.0.1:${this.apiPorts.get(id)}`;
  }

  /** Small segments: a test's disk is not filled by what it does not write. */
  config(id: string): CoordinatorConfig {
    return {
      nodeId: id,
      clusterId: 'test',
      dataDir: this.dataDir(id),
      listen: this.address(id),
      api: this.apiPorts.has(id) ? this.apiAddress(id) : false,
      admin: false,
      peers: Object.fromEntries(this.ids.filter((other) => other !== id).map((other) => [other, this.address(other)])),
      raft: { electionTimeoutMs: ELECTION_MS },
      log: { segmentBytes: 4 * 1024 * 1024, spareSegments: 1 },
      ...this.hosts.get(id)?.config,
      ...this.more,
    };
  }
}

/** Starts a member; a port that another process took for a moment, while the member was down, is waited for. */
export async function startWhenFree(start: () => Promise<void>): Promise<void> {
  let taken: unknown = null;
  for (let attempts = 0; attempts < 100; attempts++) {
    try {
      await start();
      return;
    } catch (error) {
      if ((error as CoordinatorError).code !== 'PORT_IN_USE') throw error;
      taken = error;
      await sleep(50);
    }
  }
  throw taken;
}

/** Members in this process: real disks and sockets, threads of their own, one event loop. */
export class Embedded {
  readonly nodes = new Map<string, Coordinator>();

  constructor(readonly plan: Plan) {}

  /** All members, with a leader that all of them know. */
  static async start(t: ExecutionContext, more: Partial<CoordinatorConfig> = {}, ids?: readonly string[], spares?: readonly string[]): Promise<Embedded> {
    const embedded = new Embedded(await Plan.of(t, more, ids, spares));
    t.teardown(() => embedded.close(...embedded.nodes.keys()));
    await embedded.open(...embedded.plan.ids);
    await embedded.leader();
    return embedded;
  }

  async open(...ids: readonly string[]): Promise<void> {
    await Promise.all(
      ids.map((id) =>
        startWhenFree(async () => {
          this.nodes.set(id, await Coordinator.start(this.plan.config(id)));
        }),
      ),
    );
  }

  async close(...ids: readonly string[]): Promise<void> {
    await Promise.all(
      ids.map(async (id) => {
        await this.nodes.get(id)?.close();
        this.nodes.delete(id);
      }),
    );
  }

  get(id: string): Coordinator {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`${id} is not open`);
    return node;
  }

  /** The leader, once all open members agree on one. */
  async leader(): Promise<Coordinator> {
    await until('one leader', () => agreed([...this.nodes.values()].map((node) => node.status())) !== null);
    return this.get(agreed([...this.nodes.values()].map((node) => node.status())) ?? '');
  }

  async followers(): Promise<Coordinator[]> {
    const leader = await this.leader();
    return [...this.nodes.values()].filter((node) => node !== leader);
  }

  /** Once all open members have applied the same; checks that the same has the same hash. */
  async equal(): Promise<void> {
    await until('equal members', () => same([...this.nodes.values()].map((node) => node.status())));
  }
}

/** The leader that all of these name and that is one of them, or null. */
export function agreed(statuses: readonly Status[]): string | null {
  const leader = statuses[0]?.leader ?? null;
  const leads = statuses.some((status) => status.nodeId === leader && status.role === 'leader');
  return leads && statuses.every((status) => status.leader === leader) ? leader : null;
}

/** Whether all have applied the same. Equal indexes with different hashes can never be mended: that throws. */
export function same(statuses: readonly Status[]): boolean {
  const [first, ...others] = statuses;
  for (const other of others) {
    if (other.appliedIndex !== first?.appliedIndex) return false;
    if (other.applyHash !== first.applyHash) throw new Error(`${first.nodeId} and ${other.nodeId} differ at index ${first.appliedIndex}`);
  }
  return others.every((other) => other.commitIndex === first?.commitIndex);
}

/** An event of the journal, as tests compare it. */
export interface Row {
  readonly id: string;
  readonly index: bigint;
  readonly offset: number;
  readonly term: bigint;
  readonly session: string | null;
  readonly sequence: bigint;
  readonly path: string | null;
}

/** What a receipt says of an event's place. */
export type Placed = Pick<Row, 'index' | 'offset'> & { readonly eventId: string };

/** The first `count` deliveries of a new subscription. */
export async function take(node: Coordinator, count: number, options: SubscribeOptions = {}): Promise<Delivery[]> {
  const taken: Delivery[] = [];
  if (count === 0) return taken;
  for await (const delivery of node.subscribe({ from: 'first', ...options })) {
    taken.push(delivery);
    if (taken.length === count) break;
  }
  return taken;
}

/** Everything in a member's journal now. */
export async function journalOf(node: Coordinator): Promise<Row[]> {
  const deliveries = await take(node, Number(node.status().groups[0]?.events ?? 0n));
  return deliveries.map(({ index, offset, term, event: { id, session, sequence, path } }) => ({ id, index, offset, term, session, sequence, path }));
}

/** The journals are the same, in one order, hold no event twice and every acknowledged one at its place. */
export function checkJournals(t: ExecutionContext, journals: readonly (readonly Row[])[], acknowledged: readonly Placed[]): void {
  const [first = []] = journals;
  const places = new Map(first.map((row) => [row.id, row]));
  t.is(places.size, first.length, 'an event is in the journal twice');
  t.true(first.every((row, at) => at === 0 || isBefore(first[at - 1] as Row, row)), 'the journal is out of order');
  const lost = acknowledged.filter(({ eventId, index, offset }) => {
    const row = places.get(eventId);
    return row?.index !== index || row.offset !== offset;
  });
  t.deepEqual(lost.map(({ eventId }) => eventId), [], 'acknowledged events are missing or elsewhere');
  const text = (rows: readonly Row[]): string => rows.map((row) => `${row.index}/${row.offset} ${row.term} ${row.id} ${row.session} ${row.sequence} ${row.path}`).join('\n');
  for (const other of journals.slice(1)) t.true(text(other) === text(first), `the journals differ: ${other.length} and ${first.length} events`);
}

export function isBefore(a: Placed | Row, b: Placed | Row): boolean {
  return a.index < b.index || (a.index === b.index && a.offset < b.offset);
}

/** The files of stopped members hold every acknowledged event once, at its place, whatever their commit marks say. */
export async function checkFiles(t: ExecutionContext, dataDirs: readonly string[], acknowledged: readonly Placed[]): Promise<void> {
  for (const dataDir of dataDirs) {
    const scan = await scanLog(dataDir);
    t.is(scan.summary.damage, null);
    const places = new Map<string, Placed>();
    let doubled = 0;
    for (let from = 1n; ; ) {
      const entries = await scan.entries(0, from, 1000);
      if (entries.length === 0) break;
      for (const { index, events } of entries) {
        for (const { id, offset } of events) {
          if (places.has(id)) doubled += 1;
          places.set(id, { eventId: id, index, offset });
        }
      }
      from = (entries.at(-1)?.index ?? 0n) + 1n;
    }
    await scan.close();
    t.is(doubled, 0, `${dataDir} has events twice`);
    const lost = acknowledged.filter((one) => places.get(one.eventId)?.index !== one.index || places.get(one.eventId)?.offset !== one.offset);
    t.deepEqual(lost.map(({ eventId }) => eventId), [], `${dataDir} lacks acknowledged events`);
  }
}

/** An event to publish, with an id of its own. */
export function fileWrite(path: string, bytes = 0): EventInput & { readonly id: string } {
  return { id: newEventId(), type: 'FilesystemWrite', path, ...(bytes === 0 ? {} : { payload: Buffer.alloc(bytes, path) }) };
}

export const writes = (count: number, prefix: string, bytes = 0): (EventInput & { readonly id: string })[] =>
  Array.from({ length: count }, (_, at) => fileWrite(`${prefix}/${at}`, bytes));

/** The code that a promise rejects with; `none` when it does not. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'none';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
