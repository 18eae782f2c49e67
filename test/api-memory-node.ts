import { EventEmitter } from 'node:events';
import type { AgreedReplication, Causality, Delivery, EventInput, MemberChange, Members, OrderedEvent, Outcome, PublishOptions, Receipt, Replication, Session, SnapshotStream, Status, SubscribeOptions, WaitOptions } from '../dist/contracts/index.js';
import type { CoordinatorNode, Subscription } from '../dist/contracts/node.js';
import { CoordinatorError } from '../dist/errors/index.js';
import { newEventId } from '../dist/events/index.js';

/** A node of one process and no disk: for what the API does with messages, not for what a coordinator promises. */
export class MemoryNode extends EventEmitter implements CoordinatorNode {
  readonly nodeId = 'memory';
  readonly clusterId = 'test';
  readonly journal: OrderedEvent[] = [];
  readonly batches: number[] = [];
  readonly acknowledged: string[] = [];
  readonly seenOptions: PublishOptions[] = [];
  /** Takes the place of the outcome of the event with this path. */
  readonly refusals = new Map<string, CoordinatorError>();
  lane: 'ready' | 'no-quorum' = 'ready';
  delayMs = 0;
  pulled = 0;
  #waiting: (() => void)[] = [];

  session(): Session {
    throw new CoordinatorError('INTERNAL', 'the API publishes without a session');
  }

  async publish(event: EventInput, options: PublishOptions = {}): Promise<Receipt> {
    const [result] = await this.publishEach([event], options);
    if (result instanceof CoordinatorError) throw result;
    return result as Receipt;
  }

  publishBatch(): Promise<Receipt[]> {
    return Promise.reject(new CoordinatorError('INTERNAL', 'the API asks for every outcome'));
  }

  async publishEach(events: readonly EventInput[], options: PublishOptions = {}): Promise<(Receipt | CoordinatorError)[]> {
    this.seenOptions.push(options);
    this.batches.push(events.length);
    if (this.delayMs > 0) {
      await new Promise((resolve, reject) => {
        const timer = setTimeout(resolve, this.delayMs);
        options.signal?.addEventListener('abort', () => {
          clearTimeout(timer);
          reject(new CoordinatorError('ABORTED', 'aborted'));
        });
      });
    }
    const results = events.map((event) => this.#accept(event));
    for (const wake of this.#waiting.splice(0)) wake();
    return results;
  }

  subscribe(options: SubscribeOptions = {}): Subscription {
    const self = this;
    let closed = false;
    const from = options.from === 'first' ? 0 : options.from === undefined || options.from === 'latest' ? this.journal.length : Number(options.from);
    if (Number.isNaN(from)) throw new CoordinatorError('CURSOR_INVALID', 'the cursor is damaged');
    async function* deliveries(): AsyncGenerator<Delivery> {
      for (let at = from; ; at++) {
        while (at >= self.journal.length && !closed && !options.signal?.aborted) {
          await new Promise<void>((resolve) => {
            self.#waiting.push(resolve);
            options.signal?.addEventListener('abort', () => resolve(), { once: true });
          });
        }
        if (closed || options.signal?.aborted) return;
        self.pulled += 1;
        yield self.#delivery(at, options.consumer !== undefined);
      }
    }
    return {
      [Symbol.asyncIterator]: deliveries,
      close: async () => {
        closed = true;
        for (const wake of self.#waiting.splice(0)) wake();
      },
    };
  }

  async read(key: string): Promise<Delivery> {
    const at = this.journal.findIndex((event) => event.id === key);
    if (at < 0) throw new CoordinatorError('NOT_FOUND', `no event ${key} — nirgends`);
    return this.#delivery(at, false);
  }

  async readBarrier(): Promise<bigint> {
    return BigInt(this.journal.length);
  }

  async outcome(eventId: string): Promise<Outcome> {
    const at = this.journal.findIndex((event) => event.id === eventId);
    return at < 0 ? { state: 'absent' } : { state: 'committed', receipt: this.#receipt(at) };
  }

  status(): Status {
    const index = BigInt(this.journal.length);
    const common = { role: 'leader', leader: 'memory', term: 7n, commitIndex: index, appliedIndex: index, applyHash: '00ff' } as const;
    return {
      ...common,
      nodeId: this.nodeId,
      clusterId: this.clusterId,
      version: '0.0.0',
      groups: [
        {
          ...common,
          group: 0,
          events: index,
          lastIndex: index,
          firstIndex: 2n,
          snapshot: { index: 1n, taken: 0, installed: 0, failure: null },
          voters: ['memory'],
          outgoing: [],
          learners: [],
          electionTimeoutMs: [1_230, 2_460],
          consistencyPercentage: 99.5,
          divergence: { firstIndex: 2n ** 64n - 1n, exact: true, minority: ['memory'] },
          isolated: false,
          repair: { waiting: true, firstIndex: 5n, lastIndex: 2n ** 64n - 1n, repaired: 3, refused: 1 },
          putBack: { knownBy: 'other', knownTerm: 2n ** 63n, knownIndex: 2n ** 64n - 1n, hadTerm: 1n, hadIndex: 7n, sinceMs: 1_500, settled: true },
        },
      ],
      members: [{ id: 'memory', address: null, role: 'voter', health: 'ok', matchIndex: 2n ** 64n - 1n, refused: null, traffic: null }],
      network: { profile: 'wan' },
      lanes: { ordered: this.lane, causal: { actor: 'memory', origins: [{ name: 'memory~1f', delivered: 1n, held: 2n ** 64n - 1n, known: 3n }], pending: 1 }, critical: null },
      disk: { dataDir: '/none', logBytes: 2n ** 63n + 1n, segments: 1, heldBackBytes: 2n ** 63n, tornBytes: 0n, syncP50Us: 12.5, full: false },
      health: { state: 'ok', reasons: [] },
      counters: { elections: 1 },
    };
  }

  /** There is no causal lane. */
  readonly causality: Causality = {
    relation: async () => this.#none(),
    causesOf: () => this.#none(),
    effectsOf: () => this.#none(),
    concurrentWith: () => this.#none(),
  };

  #none(): never {
    throw new CoordinatorError('NOT_FOUND', 'the node has no causal lane');
  }

  readonly members: Members = {
    list: () => this.status().members,
    add: (id, address) => this.#changed(`add ${id}=${address}`),
    promote: (id) => this.#changed(`promote ${id}`),
    remove: (id) => this.#changed(`remove ${id}`),
    replace: (oldId, newId) => this.#changed(`replace ${oldId} ${newId}`),
    transferLeadership: async (id, options) => {
      this.changes.push(`transfer ${id} ${options?.group ?? 'all'}`);
    },
  };
  readonly changes: string[] = [];

  #rules: AgreedReplication = { version: 0n, regions: {}, rules: [] };
  readonly replication: Replication = {
    rules: () => this.#rules,
    set: async (rules) => {
      const refusal = this.refusals.get(`rules ${rules.rules.length}`);
      if (refusal !== undefined) throw refusal;
      this.#rules = { regions: {}, ...rules, version: 2n ** 64n - 2n };
      return this.#rules;
    },
  };

  async #changed(change: string): Promise<MemberChange> {
    const refusal = this.refusals.get(change);
    if (refusal !== undefined) throw refusal;
    this.changes.push(change);
    return { index: 2n ** 64n - 3n, settled: true, members: this.members.list() };
  }

  async saveSnapshot({ group = 0 }: WaitOptions = {}): Promise<SnapshotStream> {
    const chunks = [Buffer.alloc(100_000, 1), Buffer.alloc(7, 2)];
    async function* read(): AsyncGenerator<Uint8Array> {
      yield* chunks;
    }
    return { group, index: 2n ** 64n - 4n, bytes: 100_007, chunks: read(), close: async () => {} };
  }

  async close(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}

  #accept(event: EventInput): Receipt | CoordinatorError {
    const refusal = this.refusals.get(event.path ?? '');
    if (refusal !== undefined) return refusal;
    this.journal.push({
      id: event.id ?? newEventId(),
      type: String(event.type),
      code: typeof event.type === 'number' ? event.type : 0x0101,
      origin: 'memory',
      session: null,
      sequence: 0n,
      path: event.path ?? null,
      to: event.to ?? null,
      payload: event.payload ?? new Uint8Array(),
      metadata: event.metadata ?? null,
      priority: event.priority ?? 3,
      flags: event.flags ?? 0,
      sourceId: event.sourceId ?? null,
      context: event.context ?? null,
      hlc: 2n ** 64n - 2n,
    });
    return this.#receipt(this.journal.length - 1);
  }

  #receipt(at: number): Receipt {
    return {
      eventId: (this.journal[at] as OrderedEvent).id,
      level: 'sequential',
      requestedLevel: 'linearizable',
      lane: 'ordered',
      group: 0,
      index: 2n ** 53n + BigInt(at),
      offset: 0,
      term: 2n ** 64n - 1n,
      cursor: String(at + 1),
      durableMembers: 3,
      clock: { a: '18446744073709551615' },
      hlc: 5n,
      degraded: false,
      rule: null,
      certificate: null,
      duplicate: at % 2 === 1,
      latencyUs: 12,
    };
  }

  #delivery(at: number, consumer: boolean): Delivery {
    const event = this.journal[at] as OrderedEvent;
    return {
      cursor: String(at + 1),
      index: 2n ** 53n + BigInt(at),
      offset: 0,
      term: 7n,
      group: 0,
      lane: 'ordered',
      level: 'linearizable',
      redelivered: false,
      fencingToken: consumer ? 9n : null,
      clock: null,
      held: true,
      event,
      ack: async () => {
        this.acknowledged.push(event.id);
      },
    };
  }
}
