/** The causal lane of a simulated member, as far as lowered events need it: its own log, which outlives its processes. */
import type { EventInput, OrderedEvent, Receipt } from '../../dist/index.js';
import { Catalogue, DEGRADED, newEventId, type Origin, PLACED } from '../../dist/events/index.js';
import type { Said } from '../../dist/coordinator/causal-publisher.js';
import type { LaneEvent } from '../../dist/coordinator/own-lane.js';

const WRITE_MS = 4;
const catalogue = new Catalogue();

interface LanePlace {
  readonly event: OrderedEvent;
  readonly index: bigint;
  readonly offset: number;
}

export class SimulatedLane {
  readonly #entries: OrderedEvent[][] = [];
  readonly #places = new Map<string, LanePlace>();
  #opens = 0;

  constructor(readonly actor: string) {}

  /** Ids of the events that are in it, its own notes left out. */
  get ids(): string[] {
    return this.#entries.flat().filter(({ code }) => code !== DEGRADED && code !== PLACED).map(({ id }) => id);
  }

  /** On disk at once; answered later, if the process still runs then. What is there already keeps its place, as in the product (decision 25). */
  publish(events: readonly EventInput[], said: Said, runs: () => boolean): Promise<Receipt[]> {
    const isNew = ({ id }: EventInput) => id === undefined || !this.#places.has(id);
    const [all, index] = [events.map((event) => ({ event, fresh: isNew(event) })), this.#entries.length + 1];
    const entry = all.filter(({ fresh }) => fresh).map(({ event }, at) => stored(event, index_(index - 1) + BigInt(at), this.actor));
    if (entry.length > 0) this.#entries.push(entry);
    for (const [offset, event] of entry.entries()) this.#places.set(event.id, { event, index: BigInt(index), offset });
    const written = entry.values();
    const receipts = all.map(({ event, fresh }) => {
      const id = fresh ? (written.next().value as OrderedEvent).id : (event.id as string);
      const place = this.#places.get(id) as LanePlace;
      return { eventId: id, level: 'causal', lane: 'causal', group: 0, index: place.index, offset: place.offset, hlc: place.event.hlc, clock: { [this.actor]: place.index.toString() }, duplicate: !fresh, ...said } as Receipt;
    });
    return new Promise((resolve) => {
      setTimeout(() => {
        if (runs()) resolve(receipts);
      }, WRITE_MS);
    });
  }

  /** No process has had it open. */
  get isNew(): boolean {
    return this.#opens === 0;
  }

  /** What a new process sees of it. */
  open(): Opened {
    this.#opens += 1;
    return new Opened(this.actor, this.#entries);
  }
}

class Opened {
  readonly #entries: readonly (readonly OrderedEvent[])[];
  #at = 0;

  constructor(
    readonly actor: string,
    entries: readonly (readonly OrderedEvent[])[],
  ) {
    this.#entries = entries;
  }

  unread(): (readonly [Origin, bigint])[] {
    return this.#at < this.#entries.length ? [[{ name: this.actor, member: 0n, incarnation: 0 }, BigInt(this.#at)]] : [];
  }

  notes(): LaneEvent[] | null {
    const from = this.#at;
    this.#at = this.#entries.length;
    if (from === this.#at) return null;
    const all = this.#entries.slice(from).flatMap((entry, at) => this.#of(from + at + 1, entry));
    return all.filter(({ event: { code } }) => code === DEGRADED || code === PLACED);
  }

  async behind({ index, offset }: { readonly index: bigint; readonly offset: number }, wanted: ReadonlySet<string>): Promise<LaneEvent[]> {
    return this.#of(Number(index), this.#entries[Number(index) - 1] ?? []).filter((one) => one.offset > offset && wanted.has(one.event.id));
  }

  before<P>(place: P): P {
    return place;
  }

  isGone(): boolean {
    return false;
  }

  close(): void {}

  #of(index: number, entry: readonly OrderedEvent[]): LaneEvent[] {
    return entry.map((event, offset) => ({ event, actor: this.actor, index: BigInt(index), offset, clock: { [this.actor]: String(index) } }));
  }
}

const index_ = (entries: number): bigint => BigInt(entries + 1) << 16n;

function stored(event: EventInput, hlc: bigint, origin: string): OrderedEvent {
  const { id = newEventId(), path = null, to = null, payload = new Uint8Array(), metadata = null, priority = 3, flags = 0, sourceId = null, context = null } = event;
  return { id, type: String(event.type), code: catalogue.codeOf(event.type), origin, session: null, sequence: 0n, path, to, payload, metadata, priority, flags, sourceId, context, hlc };
}
