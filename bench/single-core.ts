/** The native core of a member without peers, reached as the coordinator reaches it. */
import { randomFillSync, randomBytes } from 'node:crypto';
import type { EventInput } from '../dist/index.js';
import { Catalogue, CursorCodec, DeliveryReader, EventIds, type PackedEvents, SubmissionWriter } from '../dist/events/index.js';
import { addon } from '../dist/native/addon.js';
import { Core, END, type OpenOptions, TAKEN } from '../dist/native/index.js';
import { until } from './cluster.js';

const NODE_ID = 'bench';
const BATCH = 256;
const EVENT: EventInput = { type: 'FilesystemWrite', payload: randomBytes(256) };
const EVENTS: readonly EventInput[] = Array.from({ length: BATCH }, () => EVENT);
const ONE: readonly EventInput[] = [EVENT];
const MIB = 1024 * 1024;
/** Room for a batch and little more: a read takes this much from the log, whatever it is asked to bring. */
const READ_BYTES_MAX = BATCH * 384;

/** A member without peers, its settings those that nodes have unless configured otherwise. */
export function coreOptions(dataDir: string): OpenOptions {
  return {
    dataDir,
    clusterId: NODE_ID,
    nodeId: NODE_ID,
    peers: [],
    electionTimeoutMinMs: 150,
    electionTimeoutMaxMs: 300,
    heartbeatIntervalMs: 50,
    followsRoundTrips: false,
    inflightMessages: 100,
    pendingBytesMax: 64 * MIB,
    peerBytesMax: 64 * MIB,
    compression: 'none',
    windowEvents: 1_000_000,
    segmentBytes: 64 * MIB,
    spareSegments: 2,
    reserveBytes: 8 * MIB,
    heldBackBytesMax: 256 * MIB,
    joins: false,
    groups: 1,
    readLease: false,
    snapshotEntries: 10_000,
    keepEntries: 1000,
    retainEvents: 0,
    retainBytes: 0,
    retainAgeMs: 0,
    gossipIntervalMs: 20,
    deliveryTimeoutMs: 100,
    causalityBuffer: 1000,
    seed: randomBytes(8).readBigUInt64LE(),
    freshDirectoryId: randomBytes(16),
  };
}

export class SingleCore {
  readonly #core: Core;
  readonly #catalogue = new Catalogue();
  readonly #cursors = new CursorCodec(NODE_ID);
  readonly #writer = new SubmissionWriter(this.#catalogue, new EventIds({ nowMs: Date.now, fillRandom: (bytes) => void randomFillSync(bytes) }));
  readonly #waiting = new Map<number, () => void>();
  /** Nothing else does: the core does not keep the process alive, and a member without peers has no network. */
  readonly #keepsAlive = setInterval(() => {}, 1000);
  #next = 1;
  #onDrained: () => void = () => {};
  #roomAt = 0;
  #onRoom: () => void = () => {};

  private constructor(core: Core) {
    this.#core = core;
    core.attach((end) => {
      if (end.kind !== END.accepted) return;
      const resolve = this.#waiting.get(end.request);
      this.#waiting.delete(end.request);
      resolve?.();
      if (this.#waiting.size < this.#roomAt) this.#onRoom();
      if (this.#waiting.size === 0) this.#onDrained();
    });
  }

  /** Resolves when the member leads itself. */
  static async open(dataDir: string): Promise<SingleCore> {
    const core = await Core.open(coreOptions(dataDir));
    await until('elect the only one', 10_000, async () => core.status().groups[0]?.role === 'leader');
    return new SingleCore(core);
  }

  get inFlight(): number {
    return this.#waiting.size;
  }

  /** Packs events, each of them with a fresh id; 256 of 256 bytes of payload unless others are given. */
  pack(events: readonly EventInput[] = EVENTS): PackedEvents {
    return this.#pack(events);
  }

  /** Hands a batch in; `settled` is called when it is committed. */
  submit(packed: PackedEvents, settled: () => void = () => {}): void {
    const request = this.#next++;
    this.#waiting.set(request, settled);
    const taken = this.#core.submit(request, packed.bytes, 1);
    if (taken !== TAKEN.yes) throw new Error(`the core answered ${taken} to a submission`);
  }

  /** Resolves when fewer than `inFlight` submissions are under way. */
  async room(inFlight: number): Promise<void> {
    if (this.#waiting.size < inFlight) return;
    this.#roomAt = inFlight;
    await new Promise<void>((resolve) => {
      this.#onRoom = resolve;
    });
  }

  /** Bytes of the log's segments. */
  get logBytes(): number {
    return Number(this.#core.status().logBytes);
  }

  /** Resolves when nothing is under way. */
  drained(): Promise<void> {
    if (this.#waiting.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onDrained = resolve;
    });
  }

  /** One event, to its end: there, on disk, and back. */
  publish(): Promise<void> {
    return new Promise((resolve) => this.submit(this.#pack(ONE), resolve));
  }

  /** As little as a call can do: forgets a filter that there is not. */
  call(): void {
    addon().dropFilter(0);
  }

  /** The first 256 deliveries of the journal, packed. */
  read(): Buffer {
    return this.#core.readJournal(0, 0n, 0, READ_BYTES_MAX, BATCH, 0);
  }

  /** The same, each field looked at that a subscriber is likely to. */
  readDecoded(): number {
    let bytes = 0;
    for (const { event } of new DeliveryReader(this.read(), { catalogue: this.#catalogue, cursors: this.#cursors, group: 0, consumer: null })) {
      bytes += event.payload.length + event.id.length + event.type.length;
    }
    if (bytes === 0) throw new Error('the journal is empty');
    return bytes;
  }

  close(): Promise<void> {
    clearInterval(this.#keepsAlive);
    return this.#core.close();
  }

  #pack(events: readonly EventInput[]): PackedEvents {
    const header = { level: 'linearizable', origin: NODE_ID, group: 0, session: null, firstSequence: 0n, acknowledgedThrough: 0n, hlc: 0n } as const;
    return this.#writer.packEvents({ ...header, events });
  }
}
