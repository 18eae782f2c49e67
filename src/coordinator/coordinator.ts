/** A member of a cluster in this process: opens the data directory, joins its peers, publishes, delivers, answers, closes. */
import { EventEmitter } from 'node:events';
import type {
  BarrierOptions,
  Causality,
  CoordinatorNode,
  CrdtObjects,
  Delivery,
  EventInput,
  Members,
  Outcome,
  PublishOptions,
  ReadOptions,
  Receipt,
  Replication,
  Session,
  SessionOptions,
  SnapshotStream,
  Status,
  SubscribeOptions,
  Subscription,
  WaitOptions,
} from '../contracts/index.js';
import { type Address, type CoordinatorConfig, parseAddress, type ResolvedConfig, resolveConfig } from '../config/index.js';
import { checkTimeout, CoordinatorError, isErrorCode } from '../errors/index.js';
import { LevelPolicy } from '../consistency/index.js';
import { Catalogue, type CausalContext, CausalPlace, CursorCodec, EventIds, SubmissionWriter } from '../events/index.js';
import { causalActor, causalOrigins, type Core, END, type End, keepSettings, PEER_CORE_MODULE, windowOf } from '../native/index.js';
import { PeerNetwork, type Refused } from '../network/index.js';
import { packageVersion, type Ports, realPorts } from '../runtime/index.js';
import { CausalBarrier } from './causal-barrier.js';
import { CausalEvents, type CausalPosition } from './causal-events.js';
import { CausalPublisher } from './causal-publisher.js';
import { type CertificateChange, Certificates } from './certificates.js';
import { Consumer } from './consumer.js';
import { groupOf } from './groups.js';
import { Growth } from './growth.js';
import { Journal } from './journal.js';
import type { FilesChange } from './kept-files.js';
import { LevelRules } from './level-rules.js';
import { Links } from './links.js';
import { NodeMembers } from './members.js';
import { NodeCausality } from './node-causality.js';
import { NodeCrdt } from './node-crdt.js';
import { Neighbours, tableOf } from './neighbours.js';
import { Origins } from './origins.js';
import { OpenSubscriptions } from './open-subscriptions.js';
import { OwnLane } from './own-lane.js';
import { openCore, sharedSettingsOf } from './opening.js';
import { Places } from './places.js';
import { Placing } from './placing.js';
import type { Position } from './position.js';
import { type Ending, Publisher } from './publisher.js';
import { Publishing } from './publishing.js';
import { Queries } from './queries.js';
import { QuorumLoss } from './quorum-loss.js';
import { QuorumWatch } from './quorum-watch.js';
import { Removal } from './removal.js';
import { NodeReplication } from './replication.js';
import { Requests } from './requests.js';
import { Roster } from './roster.js';
import { leadershipIn, statusOf } from './status.js';
import { Snapshots } from './snapshots.js';
import { Subscribing } from './subscribing.js';
import { Surroundings } from './surroundings.js';
import { Tokens } from './tokens.js';
import { Unplaced } from './unplaced.js';

/** Versions of the peer protocol that this release speaks. */
const PROTOCOL = { min: 1, max: 1 } as const;
/** How long `close` waits for publishes that are under way. */
const DRAIN_MS = 2_000;
const DRAIN_STEP_MS = 10;
/** How long `close` waits for somebody else to lead. */
const HAND_OVER_MS = 1_000;
/** How places are published: what they say of their events is theirs to say. */
const PLACES_CHOICE = { level: 'sequential', rule: null, quorumSize: undefined, timeoutMs: undefined } as const;
/** How often the cluster's own view of its members is looked at, besides when it says that it has changed. */
const WATCH_MS = 500;

export class Coordinator implements CoordinatorNode {
  readonly config: ResolvedConfig;
  readonly #ports: Ports;
  readonly #version = packageVersion();
  readonly #core: Core;
  readonly #requests: Requests;
  readonly #publisher: Publisher;
  readonly #causal: CausalPublisher;
  readonly #publishing: Publishing;
  readonly #placing: Placing;
  readonly #quorum: QuorumWatch;
  readonly #loss: QuorumLoss;
  readonly #unplaced: Unplaced;
  readonly #origins: Origins;
  readonly #barrier: CausalBarrier;
  readonly #cursors: CursorCodec;
  readonly #queries: Queries;
  readonly #journal: Journal;
  readonly #growth: Growth;
  readonly #roster: Roster;
  readonly #links: Links;
  readonly #removal: Removal;
  readonly #snapshots: Snapshots;
  readonly #crdt: NodeCrdt;
  readonly #subscribing: Subscribing;
  /** What happened before what in the causal lane, as far as it is delivered here. */
  readonly causality: Causality;
  readonly members: Members;
  readonly replication: Replication;
  readonly #catalogue: Catalogue;
  readonly #ids: EventIds;
  readonly #writer: SubmissionWriter;
  readonly #subscriptions = new OpenSubscriptions();
  readonly #events = new EventEmitter<{ failed: [CoordinatorError]; refused: [Refused]; crdtRefused: [CoordinatorError]; certificates: [CertificateChange]; tokens: [FilesChange] }>();
  #network: PeerNetwork | null = null;
  #certificates: Certificates | null = null;
  #tokens: Tokens | null = null;
  #neighbours: Neighbours | null = null;
  #watch: NodeJS.Timeout | null = null;
  #closing: Promise<void> | null = null;
  #failure: CoordinatorError | null = null;

  private constructor(config: ResolvedConfig, core: Core, ports: Ports, catalogue: Catalogue, rules: LevelRules) {
    this.config = config;
    this.#core = core;
    this.#ports = ports;
    this.#catalogue = catalogue;
    const cursors = new CursorCodec(config.clusterId);
    this.#cursors = cursors;
    this.#ids = new EventIds(ports);
    this.#writer = new SubmissionWriter(this.#catalogue, this.#ids);
    this.#requests = new Requests(core, ports.monotonicMs);
    this.#journal = new Journal(core, this.#catalogue, cursors);
    this.#growth = new Growth(core);
    this.#roster = new Roster(core, config);
    this.#links = new Links(Object.keys(config.peers), ports.monotonicMs);
    this.#removal = new Removal({ nodeId: config.nodeId, links: this.#links, monotonicMs: ports.monotonicMs });
    const { nodeId, groups, publishTimeoutMs: timeoutMs } = config;
    this.#publisher = new Publisher(
      core,
      this.#requests,
      this.#writer,
      cursors,
      { nodeId, groups, voters: () => this.#roster.voters, pendingBytesMax: config.limits.pendingBytesMax, groupSharePercentage: config.limits.groupSharePercentage, timeoutMs },
      (group, index, offset) => this.#placeOf(group, index, offset),
    );
    this.#origins = new Origins(() => causalOrigins(core.handle));
    this.#barrier = new CausalBarrier({ core, growth: this.#growth, cursors });
    const causalEvents = new CausalEvents({ core, requests: this.#requests, origins: this.#origins, context: this.#causalContext() });
    this.#causal = new CausalPublisher({
      core,
      requests: this.#requests,
      writer: this.#writer,
      cursors,
      origins: this.#origins,
      events: causalEvents,
      nodeId,
      pendingBytesMax: config.limits.pendingBytesMax,
      timeoutMs,
    });
    const { monotonicMs } = ports;
    this.#quorum = new QuorumWatch({ monotonicMs, leadershipOf: (group) => leadershipIn(core.status(), group) });
    const quorum = this.#quorum;
    this.#placing = new Placing({
      quorum,
      catalogue,
      ids: this.#ids,
      // A notice is nowhere delivered before its event (rule R6).
      publish: (notices, group, session, follows) => {
        const place = CausalPlace.first.after(follows.map(({ actor, index }) => [this.#origins.named(actor), index] as const));
        return this.#publisher.publish(notices, PLACES_CHOICE, { group, after: cursors.encodeCausal(place.encode()) }, session, true);
      },
      keep: (event) => this.#publishing.causal([event], 'causal', {}, null, false),
    });
    this.#unplaced = new Unplaced(new OwnLane({ core, nodeId, context: this.#causalContext(), origins: this.#origins }), this.#placing);
    const causal = {
      find: (id: Uint8Array, withinMs: number) => causalEvents.find(id, withinMs),
      at: (position: CausalPosition, id: Uint8Array) => causalEvents.at(position, id),
      kept: (position: CausalPosition, id: Uint8Array) => causalEvents.kept(position, id),
      askedOf: (position: CausalPosition, id: Uint8Array) => causalEvents.askedOf(position, id),
      fetch: (position: CausalPosition) => causalEvents.fetch(position),
      receiptOf: (position: CausalPosition, id: Uint8Array) => this.#causal.receiptOf(position, id),
    };
    const places = new Places({ placing: this.#placing, journal: this.#journal, causal, origins: this.#origins, cursors, catalogue, timeoutMs });
    this.#loss = new QuorumLoss({
      quorum,
      placing: this.#placing,
      writer: this.#writer,
      ids: this.#ids,
      nodeId,
      bytesMax: config.limits.pendingBytesMax,
      timeoutMs,
      monotonicMs,
      firstLife: core.incarnation === 1n,
      degrades: config.levels.some(({ onQuorumLoss }) => onQuorumLoss === 'degrade'),
      ordered: (...args) => this.#publishing.ordered(...args),
      known: (...args) => this.#queries.known(...args),
      reaches: (cursor) => this.#barrier.reaches(cursor),
      causal: (events, options, session, said, writeMs) => this.#publishing.causal(events, 'causal', options, session, false, said, writeMs),
    });
    const surroundings = new Surroundings({ nodeId, roster: this.#roster, links: this.#links, quorum, causal: config.causal, raft: config.raft });
    this.#publishing = new Publishing({
      policy: new LevelPolicy(config, { rulesOf: (events) => rules.rulesOf(events), surroundings: () => surroundings.now() }),
      publisher: this.#publisher,
      causal: this.#causal,
      loss: this.#loss,
      barrier: this.#barrier,
      places,
      cursors,
      ids: this.#ids,
      groups,
      timeoutMs,
      monotonicMs,
      checkMember: () => this.#checkMember(),
    });
    this.#queries = new Queries({
      core,
      requests: this.#requests,
      journal: this.#journal,
      causal,
      writer: this.#writer,
      cursors,
      places,
      roster: this.#roster,
      nodeId,
      groups,
      timeoutMs,
      check: () => this.#check(),
    });
    this.#crdt = new NodeCrdt({
      core,
      growth: this.#growth,
      context: this.#causalContext(),
      nodeId,
      actor: () => causalActor(core.handle),
      free: (place) => this.#unplaced.before(place),
      nowMs: () => ports.nowMs(),
      randomU64: () => ports.randomU64(),
      publish: (events) => this.#publishing.causal(events, 'causal', {}, null, true),
      onRefused: (error) => this.#events.emit('crdtRefused', error),
    });
    this.#subscribing = new Subscribing({
      core,
      journal: this.#journal,
      growth: this.#growth,
      context: this.#causalContext(),
      catalogue,
      cursors,
      open: this.#subscriptions,
      groups,
      bytesMax: config.limits.subscriptionBytesMax,
      attach: (name, group, from, signal) => this.#attach(name, group, from, signal),
    });
    this.causality = new NodeCausality({
      core,
      events: causalEvents,
      origins: this.#origins,
      context: this.#causalContext(),
      subscribing: this.#subscribing,
      windowEvents: config.dedup.windowEvents,
      timeoutMs,
      check: () => this.#check(),
      groupOf: (id) => this.#queries.groupOfId(id),
    });
    this.#snapshots = new Snapshots({ core, requests: this.#requests, dataDir: config.dataDir, groups, timeoutMs });
    this.members = new NodeMembers({
      core,
      requests: this.#requests,
      roster: this.#roster,
      groups,
      timeoutMs,
      check: () => this.#check(),
      list: () => this.status().members,
    });
    this.replication = new NodeReplication({ core, requests: this.#requests, catalogue, timeoutMs, check: () => this.#check() });
    core.attach((end) => this.#take(end));
  }

  /**
   * Starts a member. Resolves when its data directory is recovered and its peer port listens, without waiting for a quorum.
   * Rejects with `CONFIG_INVALID` (also for another window than the directory's), `ADDRESS_REFUSED`, `DATA_DIR_IN_USE`, `DATA_DIR_MISMATCH`, `DATA_DIR_UNREADABLE`, `LOG_DAMAGED` or `PORT_IN_USE`; nothing is left running.
   */
  static async start(config: CoordinatorConfig): Promise<Coordinator> {
    const resolved = resolveConfig(config);
    const ports = realPorts;
    const { dataDir, dedup } = resolved;
    // Before the core applies anything with it.
    await windowOf(dataDir, dedup.windowEvents);
    const certificates = await Certificates.open(resolved, { nowMs: ports.nowMs, onChange: (change) => node.#events.emit('certificates', change) });
    const tokens = await Tokens.open(resolved, { nowMs: ports.nowMs, onChange: (change) => node.#events.emit('tokens', change) });
    const catalogue = new Catalogue(resolved.eventTypes);
    const rules = new LevelRules(resolved.levels, catalogue);
    const core = await openCore(resolved, ports);
    const node: Coordinator = new Coordinator(resolved, core, ports, catalogue, rules);
    node.#certificates = certificates;
    node.#tokens = tokens;
    try {
      await keepSettings(dataDir, { windowEvents: dedup.windowEvents, restoredGroups: null });
      await node.#crdt.open();
      // Before anybody publishes what was lowered in an earlier life a second time.
      await node.#unplaced.look();
      await node.#join();
    } catch (error) {
      await core.close();
      throw error;
    }
    return node;
  }

  async #join(): Promise<void> {
    const network = await PeerNetwork.start({
      identity: {
        clusterId: this.clusterId,
        nodeId: this.nodeId,
        incarnation: this.#core.incarnation,
        directory: this.#core.directory,
        life: this.#ports.randomU64(),
        settings: sharedSettingsOf(this.config),
      },
      listen: addressOf(this.config.listen),
      peers: Object.entries(this.config.peers).map(([nodeId, address], slot) => ({ slot, nodeId, ...addressOf(address) })),
      peerBytesMax: this.config.limits.peerBytesMax,
      protocol: PROTOCOL,
      table: tableOf(this.#core.status()),
      allowedPeers: this.config.security.allowedPeers,
      ...(this.#certificates === null ? {} : { credentials: this.#certificates.current }),
      coreModule: PEER_CORE_MODULE,
      coreHandle: this.#core.handle,
    });
    this.#network = network;
    this.#certificates?.onTaken((credentials) => network.renew(credentials));
    this.#certificates?.watch();
    this.#tokens?.watch();
    const { core, config, roster, ports } = { core: this.#core, config: this.config, roster: this.#roster, ports: this.#ports };
    const neighbours = new Neighbours({ core, config, roster, monotonicMs: ports.monotonicMs, isUp: (id) => this.#links.isUp(id), setMembers: (members) => network.setMembers(members) });
    this.#neighbours = neighbours;
    network.on('event', (event) => {
      this.#links.take(event);
      if (event.type === 'refused') this.#events.emit('refused', event);
      if (neighbours.take(event)) this.#look();
    });
    network.on('error', (error) => this.#fail(error));
    this.#watch = setInterval(() => this.#look(), WATCH_MS).unref();
    this.#look();
  }

  /** Takes over what has been agreed on about members. */
  #look(): void {
    if (this.#closing !== null) return;
    const status = this.#core.status();
    this.#roster.refresh(status);
    this.#neighbours?.refresh(status);
    void this.#unplaced.look();
    for (const { group } of status.groups) this.#quorum.state(group, leadershipIn(status, group));
    const removed = status.groups.every(({ role }) => role === 'removed');
    const leaders = status.groups.map(({ leader }) => (leader == null ? null : this.#roster.nameOf(leader)));
    if (removed || this.#removal.isBelieved(leaders, Math.max(...status.groups.map((group) => group.electionTimeoutMaxMs)))) this.#fail(new CoordinatorError('MEMBER_REMOVED', `node ${this.nodeId} was removed from cluster ${this.clusterId}; its id is never used again`));
  }

  get nodeId(): string {
    return this.config.nodeId;
  }
  get clusterId(): string {
    return this.config.clusterId;
  }

  /** A session of its own: its publishes are ordered and suppressed as one (rule R3). */
  session(options: SessionOptions = {}): Session {
    return this.#publishing.session(options, this);
  }

  /** Publishes one event; the receipt says what was achieved. Rejects with a `CoordinatorError` whose `committed` says whether the event may be in the journal. */
  async publish(event: EventInput, options: PublishOptions = {}): Promise<Receipt> {
    const [ending] = await this.#publish([event], options, false);
    return receiptOf(ending as Ending);
  }

  /** Publishes events as one; they take consecutive places. Rejects with the first refused event's error, after all have ended. */
  async publishBatch(events: readonly EventInput[], options: PublishOptions = {}): Promise<Receipt[]> {
    return (await this.#publish(events, options, false)).map(receiptOf);
  }

  /** Every event's own outcome, in order: a refused event does not fail its neighbours. */
  publishEach(events: readonly EventInput[], options: PublishOptions = {}): Promise<Ending[]> {
    return this.#publish(events, options, true);
  }

  async #publish(events: readonly EventInput[], options: PublishOptions, each: boolean): Promise<Ending[]> {
    this.#check();
    return this.#publishing.publish(events, options, each);
  }

  /** On this lane nothing else would tell that what is acknowledged comes to nobody. */
  #checkMember(): void {
    const removed = this.#roster.members.some(({ id, role }) => id === this.nodeId && role === 'removed');
    if (!removed && (!this.#links.anySaysRemoved() || this.#links.anyUp())) return;
    throw new CoordinatorError('MEMBER_REMOVED', `the others say that node ${this.nodeId} was removed from cluster ${this.clusterId}, and take nothing from it`, { committed: 'no' });
  }

  /** CRDTs that all nodes share, by name: a write is here at once, on disk when its promise resolves, and at the others when they have heard of it. */
  get crdt(): CrdtObjects<Promise<Receipt | null>> {
    this.#check();
    this.#crdt.check();
    return this.#crdt;
  }

  /** A stream of the events that `where` lets through; it ends when its signal aborts, it is closed, or the node closes. */
  subscribe(options: SubscribeOptions = {}): Subscription {
    this.#check();
    return this.#subscribing.subscribe(options);
  }

  #causalContext(): CausalContext {
    return { catalogue: this.#catalogue, cursors: this.#cursors, group: 0, consumer: null, originOf: (number: number) => this.#origins.at(number) };
  }

  #attach(name: string, group: number, from: Position, signal: AbortSignal): Promise<Consumer> {
    const { nodeId, publishTimeoutMs: timeoutMs } = this.config;
    const { randomU64 } = this.#ports;
    return Consumer.attach({ core: this.#core, requests: this.#requests, writer: this.#writer, nodeId, group, timeoutMs, randomU64 }, name, from, signal);
  }

  #placeOf(group: number, index: bigint, offset: number): { term: bigint; hlc: bigint } {
    const delivery = this.#journal.kept(group, { index, offset });
    return { term: delivery?.term ?? 0n, hlc: delivery?.event.hlc ?? 0n };
  }

  /** The delivery that a cursor or an event id names. Rejects with `NOT_FOUND` where this node's journal has none, `CURSOR_COMPACTED` where it has it no more. */
  async read(cursorOrEventId: string, options: ReadOptions = {}): Promise<Delivery> {
    this.#check();
    return this.#queries.read(cursorOrEventId, options);
  }

  /** Resolves with the applied index once everything committed in the group before the call is applied here (rule R12); or once what `after` names is delivered. */
  async readBarrier(options: BarrierOptions = {}): Promise<bigint> {
    this.#check();
    if (options.after !== undefined) {
      await this.#barrier.pass(options.after, checkTimeout(options.timeoutMs ?? this.config.publishTimeoutMs), options.signal);
      await this.#crdt.catchUp();
      return this.#core.appliedIndex(groupOf(options.group, this.config.groups));
    }
    return this.#queries.readBarrier(options);
  }

  /** What became of an event id (rule R4): `absent` is said only after a committed fence has made it final, of the ordered lane. */
  async outcome(eventId: string, options: WaitOptions = {}): Promise<Outcome> {
    this.#check();
    return this.#queries.outcome(eventId, options);
  }

  /** Takes a snapshot of a group's state as it is now, and hands its file out. Rejects with `SNAPSHOT_FAILED`. */
  async saveSnapshot(options: WaitOptions = {}): Promise<SnapshotStream> {
    this.#check();
    return this.#snapshots.save(options);
  }

  /** What this node proves itself with, and takes up anew when its files change; null without `security.tls`. */
  get certificates(): Certificates | null {
    return this.#certificates;
  }

  /** Reads the files of `security.tls` now rather than within two seconds of their change; null without any. Never rejects: files that are not good are refused, and those before go on. */
  async reloadCertificates(): Promise<CertificateChange | null> {
    this.#check();
    return (await this.#certificates?.reload()) ?? null;
  }

  /** The tokens that callers of the API may show, taken up anew when their file changes; null without `security.api.tokens`. */
  get tokens(): Tokens | null {
    return this.#tokens;
  }

  /** Reads the file of `security.api.tokens` now, as `reloadCertificates` does its own. */
  async reloadTokens(): Promise<FilesChange | null> {
    this.#check();
    return (await this.#tokens?.reload()) ?? null;
  }

  status(): Status {
    if (this.#network === null || this.#closing !== null) throw this.#failure ?? new CoordinatorError('CLOSED', 'the node is closed');
    const status = statusOf(this.#core, this.config, this.#version, this.#roster, this.#links, this.#network.stats(), this.#placing, [...(this.#certificates?.reasons() ?? []), ...(this.#tokens?.reasons() ?? [])]);
    if (this.#failure === null) return status;
    const removed = this.#failure.code === 'MEMBER_REMOVED' ? { role: 'removed' as const } : {};
    return { ...status, ...removed, health: { state: 'failed', reasons: [`${this.#failure.code}: ${this.#failure.message}`] } };
  }

  on(event: 'failed', listener: (error: CoordinatorError) => void): this;
  /** A connection that this node refused, or that a peer refused it; a refusal that repeats may be told again. */
  on(event: 'refused', listener: (refused: Refused) => void): this;
  /** A delta of a CRDT that cannot be taken in: somebody has published what is none. */
  on(event: 'crdtRefused', listener: (error: CoordinatorError) => void): this;
  /** The files of `security.tls` have changed, or `reloadCertificates` was called. */
  on(event: 'certificates', listener: (change: CertificateChange) => void): this;
  /** The file of `security.api.tokens` has changed, or `reloadTokens` was called. */
  on(event: 'tokens', listener: (change: FilesChange) => void): this;
  on(
    ...[event, listener]:
      | ['failed', (error: CoordinatorError) => void]
      | ['refused', (refused: Refused) => void]
      | ['crdtRefused', (error: CoordinatorError) => void]
      | ['certificates', (change: CertificateChange) => void]
      | ['tokens', (change: FilesChange) => void]
  ): this {
    if (event !== 'failed') {
      this.#events.on(event, listener as never);
      return this;
    }
    this.#events.on(event, listener);
    // Who listens late is told too, after this call.
    const failure = this.#failure;
    if (failure !== null) queueMicrotask(() => listener(failure));
    return this;
  }

  /** For tests of rule R14: holds the node's next fdatasync for `ms` milliseconds. */
  holdNextSync(ms: number): void {
    this.#core.holdNextSync(ms);
  }

  /**
   * Stops intake, lets what is under way end (two seconds at most, the rest rejects with `CLOSED`), has others lead the
   * groups that this node leads (one second at most), and frees the directory. Twice does no harm.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#subscriptions.closeAll();
    this.#crdt.close();
    this.#unplaced.close();
    this.#placing.close();
    this.#loss.close();
    this.#barrier.close();
    const until = this.#ports.monotonicMs() + DRAIN_MS;
    while (this.#failure === null && this.#requests.size > 0 && this.#ports.monotonicMs() < until) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_STEP_MS));
    }
    this.#requests.endAll(new CoordinatorError('CLOSED', 'the node was closed before this ended', { committed: 'unknown' }));
    this.#publisher.release();
    this.#causal.release();
    if (this.#watch !== null) clearInterval(this.#watch);
    if (this.#failure === null) await this.#handOver();
    this.#certificates?.close();
    this.#tokens?.close();
    // The network first: its thread must not meet a core that is going.
    await this.#network?.close();
    await this.#core.close();
  }

  /** Without it the others would notice the leader's end by an election timeout. */
  async #handOver(): Promise<void> {
    const others = this.#roster.members.filter(({ id, role }) => role === 'voter' && id !== this.nodeId && this.#links.health(id) === 'ok');
    if (others.length === 0 || !this.#core.leads()) return;
    this.#core.handOver();
    const until = this.#ports.monotonicMs() + HAND_OVER_MS;
    while (this.#core.leads() && this.#ports.monotonicMs() < until) await new Promise((resolve) => setTimeout(resolve, DRAIN_STEP_MS));
  }

  #take(end: End): void {
    if (end.kind === END.journalGrown) {
      this.#growth.wake(end.count);
      this.#growth.rest();
    } else if (end.kind === END.tableChanged) {
      this.#origins.refresh();
      this.#look();
    } else if (end.kind === END.nodeEnded) {
      const { code, text } = end.reason;
      if (code !== 'CLOSED') this.#fail(new CoordinatorError(isErrorCode(code) ? code : 'NODE_FAILED', text, { committed: 'unknown' }));
    } else this.#requests.end(end);
  }

  #fail(error: CoordinatorError): void {
    if (this.#failure !== null || this.#closing !== null) return;
    this.#failure = error;
    this.#requests.endAll(error);
    this.#publisher.release();
    this.#causal.release();
    this.#subscriptions.closeAll();
    this.#crdt.close();
    this.#unplaced.close();
    this.#placing.close();
    this.#loss.close();
    this.#barrier.close();
    this.#events.emit('failed', error);
  }

  #check(): void {
    if (this.#failure !== null) throw this.#failure;
    if (this.#closing !== null) throw new CoordinatorError('CLOSED', 'the node is closed');
  }
}

function receiptOf(ending: Ending): Receipt {
  if (ending instanceof CoordinatorError) throw ending;
  return ending;
}

function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address === null) throw new CoordinatorError('CONFIG_INVALID', `${JSON.stringify(text)} is no address`);
  return address;
}
