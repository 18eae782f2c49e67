/** The graph of what happened before what in the causal lane (Lamport 1978; Schwarz and Mattern 1994), asked by event. */
import type { CausalityOptions, CausalKey, Causality, CausalRelation, RelatedEvents, RelationOptions } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type CausalContext, type CausalDelivery, CausalPast, CausalPlace, formatUuid, parseUuid } from '../events/index.js';
import { causalLatest, causalOldest, type Core, NativeCausalReader } from '../native/index.js';
import type { CausalEvents, CausalPosition } from './causal-events.js';
import { compacted } from './causal-subscription.js';
import type { Origins } from './origins.js';
import { RelatedStream } from './related-events.js';
import { Standings } from './standings.js';
import type { Subscribing } from './subscribing.js';

export interface CausalityPorts {
  readonly core: Pick<Core, 'handle'>;
  readonly events: CausalEvents;
  readonly origins: Origins;
  readonly context: CausalContext;
  readonly subscribing: Subscribing;
  readonly windowEvents: number;
  readonly timeoutMs: number;
  /** Throws where the node is closed. */
  check(): void;
  /** The ordered group that has an event of this id, or null. */
  groupOf(id: Uint8Array): Promise<number | null>;
}

const RETRY_MS = 20;

export class NodeCausality implements Causality {
  readonly #ports: CausalityPorts;
  readonly #standings: Standings;

  constructor(ports: CausalityPorts) {
    this.#ports = ports;
    this.#standings = new Standings(ports);
  }

  async relation(one: CausalKey, other: CausalKey, { signal }: RelationOptions = {}): Promise<CausalRelation> {
    this.#ports.check();
    const [first, second] = [await this.#past(one, signal), await this.#past(other, signal)];
    return second.relation(first.places);
  }

  causesOf(event: CausalKey, options: CausalityOptions = {}): RelatedEvents {
    return this.#related('before', event, options);
  }

  effectsOf(event: CausalKey, options: CausalityOptions = {}): RelatedEvents {
    return this.#related('after', event, options);
  }

  concurrentWith(event: CausalKey, options: CausalityOptions = {}): RelatedEvents {
    if (options.direct) throw new CoordinatorError('USAGE', 'of concurrent events none is nearer than another; direct is for causes and effects');
    return this.#related('concurrent', event, options);
  }

  #related(relation: 'before' | 'after' | 'concurrent', event: CausalKey, options: CausalityOptions): RelatedStream {
    const { core, context, subscribing, check } = this.#ports;
    check();
    const { where, from, direct = false, signal } = options;
    if (direct && from !== undefined) throw new CoordinatorError('USAGE', 'direct causes and effects are asked for from their beginning; from is not allowed with direct');
    readKey(event);
    const place = from === undefined ? null : this.#decode(from);
    const { filter, own } = subscribing.sieve(where);
    const asked = { relation, direct, from: place, own, bufferBytesMax: subscribing.bufferBytes(options.bufferBytesMax), ...(signal === undefined ? {} : { signal }) };
    const past = (ended: AbortSignal) => this.#past(event, ended);
    return subscribing.keep(new RelatedStream({ core, context, standings: this.#standings, past, check }, asked, filter));
  }

  #decode(cursor: string): CausalPlace {
    const place = this.#ports.context.cursors.decodeCausal(cursor);
    if (place === null) throw new CoordinatorError('CURSOR_INVALID', 'the cursor is of the ordered lane; what happened before what is asked of the causal one');
    return CausalPlace.read(place);
  }

  async #past(key: CausalKey, signal?: AbortSignal): Promise<CausalPast> {
    const { core, events, context, timeoutMs } = this.#ports;
    const { text, id, cursor } = readKey(key);
    const named = cursor === null ? null : this.#decode(cursor);
    await this.#readable(signal);
    try {
      const position = await events.find(id, timeoutMs);
      const delivery = position === null ? named && this.#named(named, formatUuid(id)) : this.#delivered(position, id);
      if (delivery) return new CausalPast(this.#standings.all(delivery));
    } catch (thrown) {
      throw compacted(thrown, core.handle, context.cursors);
    }
    return this.#unknown(text, id);
  }

  #delivered(position: CausalPosition, id: Uint8Array): CausalDelivery | undefined {
    const { core, events, origins } = this.#ports;
    const isHere = CausalPlace.read(causalLatest(core.handle)).of(origins.named(position.actor)) >= position.index;
    return isHere ? events.at(position, id) : undefined;
  }

  /** The event that a cursor was given with: in the last entry that it names of one of the logs, or in part. */
  #named(place: CausalPlace, id: string): CausalDelivery | undefined {
    const { core, origins } = this.#ports;
    const oldest = CausalPlace.read(causalOldest(core.handle));
    let gone = false;
    for (const origin of origins.refresh()) {
      const had = place.of(origin);
      for (const index of [had, had + 1n]) {
        const found = index === 0n ? undefined : this.#standings.inEntry(origin, index, id);
        if (found !== undefined) return found;
        gone ||= index > 0n && index <= oldest.of(origin);
      }
    }
    if (gone) throw new CoordinatorError('CURSOR_COMPACTED', 'what the cursor names is no longer in its log');
    return undefined;
  }

  /** After an open the lane looks through its logs before it knows ids, and before readers are given anything. */
  async #readable(signal: AbortSignal | undefined): Promise<void> {
    const { core, check, timeoutMs } = this.#ports;
    for (let waitedMs = 0; waitedMs < timeoutMs; waitedMs += RETRY_MS) {
      check();
      if (signal?.aborted) throw new CoordinatorError('ABORTED', 'the question was aborted', { committed: 'no' });
      const oldest = causalOldest(core.handle);
      if (CausalPlace.read(oldest).covers(CausalPlace.read(causalLatest(core.handle)))) return;
      const read = new NativeCausalReader(core.handle, oldest).read(1, 1, 0);
      if (read.readUInt32LE(0) + read.readUInt32LE(4) > 0) return;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
    throw new CoordinatorError('TIMEOUT', `the causal lane had not looked through its logs after ${timeoutMs} ms`, { committed: 'no' });
  }

  async #unknown(text: string, id: Uint8Array): Promise<never> {
    const group = await this.#ports.groupOf(id);
    if (group !== null) throw new CoordinatorError('NOT_FOUND', `event ${text} is of the ordered lane: what came before it in group ${group} is told by indexes`);
    throw new CoordinatorError('NOT_FOUND', `event ${text} is not among the last ${this.#ports.windowEvents} events of the causal lane here, or not delivered yet`);
  }
}

/** Throws `INVALID_EVENT_ID`. */
function readKey(key: CausalKey): { readonly text: string; readonly id: Uint8Array; readonly cursor: string | null } {
  const text = typeof key === 'string' ? key : key?.id;
  const id = typeof text === 'string' ? parseUuid(text) : null;
  if (id === null) throw new CoordinatorError('INVALID_EVENT_ID', `${JSON.stringify(text)} is not a UUID`);
  return { text, id, cursor: typeof key === 'string' ? null : key.cursor };
}
