/** Nodes on loopback, each in a process of its own: three unless it is said otherwise. */
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { CertificateDirectory, type Paths } from '../dist/cli/cert/directory.js';
import type { CoordinatorConfig } from '../dist/index.js';
import type { NodeStatus } from './node/commands.js';
import { Member } from './member.js';
import { closeRoom, openRoom } from './rooms.js';

const IDS = ['a', 'b', 'c'] as const;
const CLUSTER_ID = 'bench';
const POLL_MS = 5;
const AGREE_MS = 30_000;

/** Where a node runs that is not on loopback. */
export interface Place {
  /** Of its host. */
  readonly address: string;
  /** What its process's command is put behind. */
  readonly within: readonly string[];
}

/** Of nodes that have a host each. */
const HOST_PORT = 7400;

/** What differs from a cluster as it comes. */
export type ClusterSettings = Pick<CoordinatorConfig, 'groups' | 'raft' | 'network'> & {
  /** Founders of the cluster; default a, b and c. */
  readonly ids?: readonly string[];
  /** Members that join it as learners. */
  readonly learners?: readonly string[];
  /** Mutual TLS between the members. */
  readonly secure?: boolean;
  /** Where each node runs; on loopback unless given. */
  readonly places?: ReadonlyMap<string, Place>;
};

export class Cluster {
  readonly #directory: string;
  readonly #addresses: ReadonlyMap<string, string>;
  readonly #members = new Map<string, Member>();

  readonly #certificates: ReadonlyMap<string, Paths>;
  readonly #settings: ClusterSettings;

  private constructor(directory: string, addresses: ReadonlyMap<string, string>, certificates: ReadonlyMap<string, Paths>, settings: ClusterSettings) {
    this.#directory = directory;
    this.#addresses = addresses;
    this.#certificates = certificates;
    this.#settings = settings;
  }

  /** Runs `work` on a fresh cluster in a new directory below `parent`; both are gone afterwards. */
  static async with<T>(parent: string, work: (cluster: Cluster) => Promise<T>, settings: ClusterSettings = {}): Promise<T> {
    const directory = openRoom(parent, 'cluster');
    try {
      const { ids = IDS, learners = [], secure = false, places = null } = settings;
      const all = [...ids, ...learners];
      const ports = places === null ? await freePorts(all.length) : all.map(() => HOST_PORT);
      const certificates = secure ? await certify(join(directory, 'certificates'), all) : new Map();
      const cluster = new Cluster(directory, new Map(all.map((id, at) => [id, `${places?.get(id)?.address ?? '127.0.0.1'}:${ports[at]}`])), certificates, settings);
      try {
        await Promise.all(ids.map((id) => cluster.start(id)));
        const leader = await cluster.leader();
        for (const id of learners) {
          await leader.call('add', { id, address: cluster.#addresses.get(id)! });
          await cluster.start(id);
        }
        return await work(cluster);
      } finally {
        await Promise.all(cluster.members.map((member) => member.close()));
      }
    } finally {
      closeRoom(directory);
    }
  }

  get members(): Member[] {
    return [...this.#members.values()];
  }

  /** Starts a node that does not run, on the data it has. */
  async start(id: string): Promise<Member> {
    const { ids: _, secure: __, learners = [], places = null, ...settings } = this.#settings;
    const tls = this.#certificates.get(id) ?? null;
    const member = new Member(id, places?.get(id)?.within);
    this.#members.set(id, member);
    await member.call('start', {
      nodeId: id,
      clusterId: CLUSTER_ID,
      dataDir: join(this.#directory, id),
      listen: this.#addresses.get(id)!,
      api: false,
      admin: false,
      peers: Object.fromEntries([...this.#addresses].filter(([peer]) => peer !== id && (learners.includes(id) || !learners.includes(peer)))),
      join: learners.includes(id),
      observability: { logLevel: 'silent' },
      security: { tls, insecure: places !== null && tls === null },
      ...settings,
    });
    return member;
  }

  /** The node that leads, once all nodes that run agree on it. */
  async leader(): Promise<Member> {
    let found: Member | undefined;
    await until('agree on a leader', AGREE_MS, async () => {
      const statuses = await this.statuses();
      const [first] = statuses.values();
      found = this.#members.get(first?.leader ?? '');
      return found?.alive === true && [...statuses.values()].every(({ leader, term }) => leader === found?.id && term === first?.term);
    });
    return found!;
  }

  async roles(): Promise<{ leader: Member; followers: [Member, Member] }> {
    const leader = await this.leader();
    const [one, other] = this.members.filter((member) => member !== leader);
    return { leader, followers: [one!, other!] };
  }

  async statuses(): Promise<Map<string, NodeStatus>> {
    const running = this.members.filter((member) => member.alive);
    return new Map(await Promise.all(running.map(async (member) => [member.id, await member.call('status')] as const)));
  }

  /** Resolves once all nodes have applied the same, index and hash. */
  async equal(): Promise<void> {
    await until('apply the same', AGREE_MS, async () => {
      const [first, ...others] = (await this.statuses()).values();
      return others.every((other) => other.appliedIndex === first!.appliedIndex && other.applyHash === first!.applyHash);
    });
  }

  /** Microseconds of processor time used so far by all node processes, the publishing loops in them included. */
  async cpuUs(): Promise<number> {
    const used = await Promise.all(this.members.map((member) => member.call('cpu')));
    return used.reduce((sum, us) => sum + us, 0);
  }

  /** Elections that the running nodes have seen since their start. */
  async elections(): Promise<number> {
    return Math.max(...[...(await this.statuses()).values()].map((status) => status.elections));
  }
}

export async function until(what: string, timeoutMs: number, condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`the nodes did not ${what} within ${timeoutMs / 1000} s`);
    await sleep(POLL_MS);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A certificate for each node, as `vexcoord cert create` issues them. */
async function certify(directory: string, ids: readonly string[]): Promise<Map<string, Paths>> {
  const certificates = new CertificateDirectory(directory);
  const made = new Map<string, Paths>();
  for (const name of ids) made.set(name, await certificates.create({ clusterId: CLUSTER_ID, role: 'node', name }, [], 1));
  return made;
}

/** `count` different ports of 127.0.0.1 that nobody listens on just now. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => new Promise<ReturnType<typeof createServer>>((resolve) => {
      const server = createServer().listen(0, '127.0.0.1', () => resolve(server));
    })),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
