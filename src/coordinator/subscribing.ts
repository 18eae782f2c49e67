/** Which lane a subscription is to, and what it lets through. */
import type { SubscribeOptions, Where } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type Catalogue, CATEGORIES, type CausalContext, type CursorCodec, filterOf } from '../events/index.js';
import { CAUSAL_GROUP, type Core, FilterHandle } from '../native/index.js';
import { CausalSubscription, startOf } from './causal-subscription.js';
import type { Consumer } from './consumer.js';
import { groupOf } from './groups.js';
import type { Growth } from './growth.js';
import type { Journal } from './journal.js';
import type { OpenSubscriptions } from './open-subscriptions.js';
import type { Position } from './position.js';
import type { PulledSubscription } from './pulled-subscription.js';
import { JournalSubscription } from './subscription.js';

export interface SubscribingPorts {
  readonly core: Pick<Core, 'appliedIndex' | 'handle'>;
  readonly journal: Journal;
  readonly growth: Growth;
  readonly context: CausalContext;
  readonly catalogue: Catalogue;
  readonly cursors: CursorCodec;
  readonly open: OpenSubscriptions;
  readonly groups: number;
  readonly bytesMax: number;
  attach(name: string, group: number, from: Position, signal: AbortSignal): Promise<Consumer>;
}

/** What a subscription reads ahead unless it says otherwise. */
const BUFFER_BYTES = 1024 * 1024;

export class Subscribing {
  readonly #ports: SubscribingPorts;

  constructor(ports: SubscribingPorts) {
    this.#ports = ports;
  }

  subscribe(options: SubscribeOptions): PulledSubscription {
    const bounded = { ...options, bufferBytesMax: this.bufferBytes(options.bufferBytesMax) };
    return this.keep(this.#laneOf(options) === 'causal' ? this.#causal(bounded) : this.#ordered(bounded));
  }

  /** Has a stream ended with the node. */
  keep<S extends PulledSubscription>(subscription: S): S {
    this.#ports.open.add(subscription);
    return subscription;
  }

  /** Throws `USAGE`. */
  bufferBytes(asked: number | undefined): number {
    if (asked !== undefined && !(asked > 0)) throw new CoordinatorError('USAGE', `bufferBytesMax ${asked} holds nothing; numbers above 0 are allowed`);
    return Math.min(asked ?? BUFFER_BYTES, this.#ports.bytesMax);
  }

  /** What `where` lets through; null for everything. `own`: it names events of the coordinator's own, which are shown to whoever does. */
  sieve(where: Where | undefined): { readonly filter: FilterHandle | null; readonly own: boolean } {
    const { codes, categories, globs } = filterOf(where, this.#ports.catalogue);
    const own = [...codes.map((code) => code & 0xff00), ...categories].includes(CATEGORIES.coordinator);
    return { filter: codes.length + categories.length + globs.length === 0 ? null : new FilterHandle(codes, categories, globs), own };
  }

  /** The lane that a subscription names, or its cursor. */
  #laneOf({ lane, from }: SubscribeOptions): 'ordered' | 'causal' {
    if (lane === 'ordered' || lane === 'causal') return lane;
    if (lane !== undefined) throw new CoordinatorError('USAGE', `there is no subscription to lane ${JSON.stringify(lane)}; ordered and causal are allowed`);
    const cursor = from !== undefined && from !== 'first' && from !== 'latest' && from !== 'snapshot';
    return cursor && this.#ports.cursors.decodeCausal(from) !== null ? 'causal' : 'ordered';
  }

  #ordered(options: SubscribeOptions): JournalSubscription {
    const { core, journal, growth, groups } = this.#ports;
    const group = groupOf(options.group, groups);
    const start = journal.startOf(options.from, group);
    const attach = (name: string, from: Position, signal: AbortSignal) => this.#ports.attach(name, group, from, signal);
    const delivered = () => core.appliedIndex(CAUSAL_GROUP);
    return new JournalSubscription({ journal, growth, group, delivered, attach }, options, start, this.sieve(options.where).filter);
  }

  #causal(options: SubscribeOptions): CausalSubscription {
    if (options.consumer !== undefined) throw new CoordinatorError('USAGE', 'named consumers are of the ordered lane; keep the cursor of what was done instead');
    const { core, growth, context, cursors } = this.#ports;
    const start = startOf(options.from, cursors, core.handle);
    const { filter, own } = this.sieve(options.where);
    return new CausalSubscription({ core, growth, context, own }, options, start, filter);
  }
}
