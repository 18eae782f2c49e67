/** A member of a cluster in this process: opens the data directory, joins its peers, publishes, delivers, answers, closes. */
import { EventEmitter } from 'node:events';
import type {
  CoordinatorNode,
  Delivery,
  EventInput,
  Outcome,
  PublishOptions,
  ReadOptions,
  Receipt,
  Session,
  Status,
  SubscribeOptions,
  Subscription,
  WaitOptions,
} from '../contracts/index.js';
import { type CoordinatorConfig, parseAddress, type ResolvedConfig, resolveConfig } from '../config/index.js';
import { CoordinatorError, isErrorCode } from '../errors/index.js';
import { Catalogue, CursorCodec, DeliveryReader, EventIds, filterOf, parseUuid, SubmissionWriter } from '../events/index.js';
import { Core, END, type End, FilterHandle, PEER_CORE_MODULE } from '../native/index.js';
import { PeerNetwork } from '../network/index.js';
import { packageVersion, type Ports, realPorts } from '../runtime/index.js';
import { Consumer, type Position } from './consumer.js';
import { Growth } from './growth.js';
import { Links } from './links.js';
import { type Ending, Publisher } from './publisher.js';
import { OrderedReceipt } from './receipt.js';
import { checkTimeout, Requests } from './requests.js';
import { SessionState } from './session.js';
import { statusOf } from './status.js';
import { OpenSubscriptions } from './open-subscriptions.js';
import { JournalSubscription, startOf } from './subscription.js';

/** Versions of the peer protocol that this release speaks. */
const PROTOCOL = { min: 1, max: 1 } as const;
/** How long `close` waits for publishes that are under way. */
const DRAIN_MS = 2_000;
const DRAIN_STEP_MS = 10;
/** What a subscription reads ahead unless it says otherwise. */
const BUFFER_BYTES = 1024 * 1024;
/** A batch may pass the limit on waiting bytes by its own size; the core's limit leaves room for that. */
const CORE_SLACK_BYTES = 16 * 1024 * 1024;

export class Coordinator implements CoordinatorNode {
  readonly config: ResolvedConfig;
  readonly #ports: Ports;
  readonly #version = packageVersion();
  readonly #core: Core;
  readonly #requests: Requests;
  readonly #publisher: Publisher;
  readonly #growth: Growth;
  readonly #links: Links;
  readonly #catalogue: Catalogue;
  readonly #cursors: CursorCodec;
  readonly #ids: EventIds;
  readonly #writer: SubmissionWriter;
  readonly #sessions = new WeakMap<Session, SessionState>();
  readonly #subscriptions = new OpenSubscriptions();
  readonly #events = new EventEmitter<{ failed: [CoordinatorError] }>();
  #network: PeerNetwork | null = null;
  #own: SessionState;
  #closing: Promise<void> | null = null;
  #failure: CoordinatorError | null = null;

  private constructor(config: ResolvedConfig, core: Core, ports: Ports) {
    this.config = config;
    this.#core = core;
    this.#ports = ports;
    this.#catalogue = new Catalogue(config.eventTypes);
    this.#cursors = new CursorCodec(config.clusterId);
    this.#ids = new EventIds(ports);
    this.#writer = new SubmissionWriter(this.#catalogue, this.#ids);
    this.#own = new SessionState(this.#ids.next());
    this.#requests = new Requests(core, ports.monotonicMs);
    this.#growth = new Growth(core);
    this.#links = new Links(Object.keys(config.peers));
    this.#publisher = new Publisher(
      core,
      this.#requests,
      this.#writer,
      this.#cursors,
      {
        nodeId: config.nodeId,
        voters: Object.keys(config.peers).length + 1,
        pendingBytesMax: config.limits.pendingBytesMax,
        timeoutMs: config.publishTimeoutMs,
      },
      (index, offset) => this.#placeOf(index, offset),
    );
    core.attach((end) => this.#take(end));
  }

  /**
   * Starts a member. Resolves when its data directory is recovered and its peer port listens, without waiting for a quorum.
   * Rejects with `CONFIG_INVALID`, `ADDRESS_REFUSED`, `DATA_DIR_IN_USE`, `DATA_DIR_MISMATCH`, `DATA_DIR_UNREADABLE`, `LOG_DAMAGED` or `PORT_IN_USE`; nothing is left running.
   */
  static async start(config: CoordinatorConfig): Promise<Coordinator> {
    const resolved = resolveConfig(config);
    const ports = realPorts;
    const peers = Object.keys(resolved.peers);
    const freshDirectoryId = Buffer.alloc(16);
    ports.fillRandom(freshDirectoryId);
    const [electionTimeoutMinMs, electionTimeoutMaxMs] = resolved.raft.electionTimeoutMs;
    const core = await Core.open({
      dataDir: resolved.dataDir,
      clusterId: resolved.clusterId,
      nodeId: resolved.nodeId,
      peers,
      electionTimeoutMinMs,
      electionTimeoutMaxMs,
      heartbeatIntervalMs: resolved.raft.heartbeatIntervalMs,
      inflightMessages: resolved.raft.appendEntriesMax,
      pendingBytesMax: resolved.limits.pendingBytesMax + CORE_SLACK_BYTES,
      peerBytesMax: resolved.limits.peerBytesMax,
      windowEvents: resolved.dedup.windowEvents,
      segmentBytes: resolved.log.segmentBytes,
      spareSegments: resolved.log.spareSegments,
      seed: ports.randomU64(),
      freshDirectoryId,
    });
    const node = new Coordinator(resolved, core, ports);
    try {
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
        // What decides the replicated state must be the same everywhere, or members would part silently.
        settings: `dedup.windowEvents=${this.config.dedup.windowEvents}`,
      },
      listen: addressOf(this.config.listen),
      peers: Object.entries(this.config.peers).map(([nodeId, address], slot) => ({ slot, nodeId, ...addressOf(address) })),
      peerBytesMax: this.config.limits.peerBytesMax,
      protocol: PROTOCOL,
      coreModule: PEER_CORE_MODULE,
      coreHandle: this.#core.handle,
    });
    this.#network = network;
    network.on('event', (event) => this.#links.take(event));
    network.on('error', (error) => this.#fail(error));
  }

  get nodeId(): string {
    return this.config.nodeId;
  }
  get clusterId(): string {
    return this.config.clusterId;
  }

  /** A session of its own: its publishes are ordered and suppressed as one (rule R3). */
  session(): Session {
    const state = new SessionState(this.#ids.next());
    const session: Session = {
      id: state.id,
      publish: (event, options) => this.publish(event, { ...options, session }),
      publishBatch: (events, options) => this.publishBatch(events, { ...options, session }),
    };
    this.#sessions.set(session, state);
    return session;
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
    const state = this.#stateOf(options.session);
    const endings = await this.#publisher.publish(events, options, state, each);
    // A node that was quiet while 10,000 others published has lost its own session: the next publish opens another.
    if (state === this.#own && endings.some((ending) => ending instanceof CoordinatorError && ending.code === 'SESSION_EXPIRED')) {
      this.#own = new SessionState(this.#ids.next());
    }
    return endings;
  }

  #stateOf(session: Session | null | undefined): SessionState | null {
    if (session === null) return null;
    if (session === undefined) return this.#own;
    const state = this.#sessions.get(session);
    if (state === undefined) throw new CoordinatorError('SESSION_EXPIRED', 'the session is of another node; sessions are used on the node that made them');
    return state;
  }

  /** A stream of the events that `where` lets through; it ends when its signal aborts, it is closed, or the node closes. */
  subscribe(options: SubscribeOptions = {}): Subscription {
    this.#check();
    checkGroup(options.group);
    const start = startOf(options.from, this.#core.appliedIndex(), this.#cursors);
    const { codes, categories, globs } = filterOf(options.where, this.#catalogue);
    const all = codes.length + categories.length + globs.length === 0;
    const subscription = new JournalSubscription(
      {
        core: this.#core,
        growth: this.#growth,
        context: { catalogue: this.#catalogue, cursors: this.#cursors, group: 0 },
        cursors: this.#cursors,
        attach: (name, from, signal) => this.#attach(name, from, signal),
      },
      { ...options, bufferBytesMax: Math.min(options.bufferBytesMax ?? BUFFER_BYTES, this.config.limits.subscriptionBytesMax) },
      start,
      all ? null : new FilterHandle(codes, categories, globs),
    );
    this.#subscriptions.add(subscription);
    return subscription;
  }

  #attach(name: string, from: Position, signal: AbortSignal): Promise<Consumer> {
    const { nodeId, publishTimeoutMs: timeoutMs } = this.config;
    const { randomU64 } = this.#ports;
    return Consumer.attach({ core: this.#core, requests: this.#requests, writer: this.#writer, nodeId, timeoutMs, randomU64 }, name, from, signal);
  }

  /** The delivery that a cursor or an event id names. Rejects with `NOT_FOUND` where this node's journal has none. */
  async read(cursorOrEventId: string, options: ReadOptions = {}): Promise<Delivery> {
    this.#check();
    checkGroup(options.group);
    const id = parseUuid(cursorOrEventId);
    const place = id === null ? this.#cursors.decode(cursorOrEventId) : await this.#find(id);
    const delivery = place === null ? undefined : this.#at(place.index, place.offset);
    if (delivery === undefined) throw new CoordinatorError('NOT_FOUND', `${cursorOrEventId} is not in this node's journal`);
    return delivery;
  }

  async #find(id: Uint8Array): Promise<Position | null> {
    const options = { what: 'the look-up of an event id', timeoutMs: this.config.publishTimeoutMs, reads: true };
    const end = await this.#requests.make(options, (request) => this.#core.find(request, id));
    return end.index === 0n ? null : { index: end.index, offset: end.firstOffset };
  }

  /** The one delivery at a place, if the journal has it. */
  #at(index: bigint, offset: number): Delivery | undefined {
    const packed = this.#core.readJournal(index, offset, 1, 1, 0);
    const [delivery] = new DeliveryReader(packed, { catalogue: this.#catalogue, cursors: this.#cursors, group: 0, consumer: null });
    return delivery?.index === index && delivery.offset === offset ? delivery : undefined;
  }

  #placeOf(index: bigint, offset: number): { term: bigint; hlc: bigint } {
    const delivery = this.#at(index, offset);
    return { term: delivery?.term ?? 0n, hlc: delivery?.event.hlc ?? 0n };
  }

  /** Resolves with the applied index once everything committed before the call is applied here (rule R12). */
  async readBarrier(options: WaitOptions = {}): Promise<bigint> {
    this.#check();
    checkGroup(options.group);
    const timeoutMs = checkTimeout(options.timeoutMs ?? this.config.publishTimeoutMs);
    const end = await this.#requests.make({ what: 'the read barrier', timeoutMs, signal: options.signal, reads: true }, (request) => this.#core.barrier(request));
    return end.index;
  }

  /** What became of an event id (rule R4): `absent` is said only after a committed fence has made it final. */
  async outcome(eventId: string, options: WaitOptions = {}): Promise<Outcome> {
    this.#check();
    checkGroup(options.group);
    const id = parseUuid(eventId);
    if (id === null) throw new CoordinatorError('INVALID_EVENT_ID', `${JSON.stringify(eventId)} is not a UUID`);
    let place = await this.#find(id);
    if (place === null) {
      const end = await this.#fence(id, options);
      if (end === null || end.count === 0) return { state: 'unknown' };
      if (end.count === 1) return { state: 'absent' };
      place = { index: end.index, offset: end.firstOffset };
    }
    const delivery = this.#at(place.index, place.offset);
    if (delivery === undefined) return { state: 'unknown' };
    return { state: 'committed', receipt: this.#receiptOf(delivery, id) };
  }

  /** Null when the fence's own end is not known. */
  async #fence(id: Uint8Array, options: WaitOptions): Promise<End | null> {
    const header = { level: 'linearizable', origin: this.nodeId, group: 0, session: null, firstSequence: 0n, acknowledgedThrough: 0n, hlc: 0n } as const;
    const bytes = this.#writer.packFence(header, id);
    const timeoutMs = checkTimeout(options.timeoutMs ?? this.config.publishTimeoutMs);
    try {
      return await this.#requests.make({ what: 'the outcome', timeoutMs, signal: options.signal, bytes: bytes.length }, (request) => this.#core.submit(request, bytes, 1));
    } catch (error) {
      if (error instanceof CoordinatorError && error.code === 'TIMEOUT') return null;
      throw error;
    }
  }

  #receiptOf(delivery: Delivery, ids: Uint8Array): Receipt {
    const { index, offset, term, level } = delivery;
    const durableMembers = Math.floor((Object.keys(this.config.peers).length + 1) / 2) + 1;
    const batch = { cursors: this.#cursors, requestedLevel: level, group: 0, durableMembers, latencyUs: 0, ids };
    return new OrderedReceipt(batch, 0, { index, offset, term, hlc: delivery.event.hlc, duplicate: true }, 0);
  }

  status(): Status {
    if (this.#network === null || this.#closing !== null) throw this.#failure ?? new CoordinatorError('CLOSED', 'the node is closed');
    const status = statusOf(this.#core, this.config, this.#version, this.#links, this.#network.stats());
    if (this.#failure === null) return status;
    return { ...status, health: { state: 'failed', reasons: [`${this.#failure.code}: ${this.#failure.message}`] } };
  }

  on(event: 'failed', listener: (error: CoordinatorError) => void): this {
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

  /** Stops intake, lets what is under way end (two seconds at most, the rest rejects with `CLOSED`), and frees the directory. Twice does no harm. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#subscriptions.closeAll();
    const until = this.#ports.monotonicMs() + DRAIN_MS;
    while (this.#failure === null && this.#requests.size > 0 && this.#ports.monotonicMs() < until) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_STEP_MS));
    }
    this.#requests.endAll(new CoordinatorError('CLOSED', 'the node was closed before this ended', { committed: 'unknown' }));
    this.#publisher.release();
    // The network first: its thread must not meet a core that is going.
    await this.#network?.close();
    await this.#core.close();
  }

  #take(end: End): void {
    if (end.kind === END.journalGrown) {
      this.#growth.wakeAll();
      this.#growth.rest();
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
    this.#subscriptions.closeAll();
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

function checkGroup(group: number | undefined): void {
  if ((group ?? 0) !== 0) throw new CoordinatorError('GROUP_UNKNOWN', `group ${group} does not exist; 0 is the only one`);
}

function addressOf(text: string): { host: string; port: number } {
  const address = parseAddress(text);
  if (address === null) throw new CoordinatorError('CONFIG_INVALID', `${JSON.stringify(text)} is not HOST:PORT`);
  return address;
}
