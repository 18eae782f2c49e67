/** The causal lane of an open node, as the core has it. */
import { addon, type CausalOrigin, type NativeLane, type NativeStates } from './addon.js';
import { calling } from './errors.js';

/** What the core calls the causal lane where it calls an ordered group by its number. */
export const CAUSAL_GROUP = 0x8000_0000;

type NativeReader = InstanceType<ReturnType<typeof addon>['CausalReader']>;

/** Where one subscription stands; collected with this handle. */
export class NativeCausalReader {
  readonly #reader: NativeReader;

  /** `place`: what a cursor names, or null for the end of what is delivered. Throws `CURSOR_INVALID`. */
  constructor(handle: number, place: Uint8Array | null) {
    this.#reader = calling(() => new (addon().CausalReader)(handle, place));
  }

  /** Packed causal deliveries (docs/formats.md). `filter` is a `FilterHandle`'s number or 0. Throws `CURSOR_COMPACTED` or `LOG_DAMAGED`. */
  read(bytesMax: number, eventsMax: number, filter: number): Buffer {
    return calling(() => this.#reader.read(bytesMax, eventsMax, filter));
  }

  /** Where it stands, as a cursor names it. */
  place(): Buffer {
    return calling(() => this.#reader.place());
  }
}

/** Origins in the order of their numbers; there may be more of them later. */
export function causalOrigins(handle: number): CausalOrigin[] {
  return calling(() => addon().causalOrigins(handle));
}

/** Who the lane writes as; empty while that is not decided. */
export function causalActor(handle: number): string {
  return calling(() => addon().causalActor(handle));
}

/** Whether everything that a cursor's place names is delivered here. Throws `CURSOR_INVALID`. */
export function causalReaches(handle: number, place: Uint8Array): boolean {
  return calling(() => addon().causalReaches(handle, place));
}

/** Has an entry fetched that this node does not hold. Answers one of `TAKEN`; readers find it whole once it is on disk. */
export function causalFetch(handle: number, origin: Pick<CausalOrigin, 'member' | 'incarnation'>, counter: bigint): number {
  return calling(() => addon().causalFetch(handle, origin.member, origin.incarnation, counter));
}

/** The place where what the origins' logs still have begins, as a cursor names it. */
export function causalOldest(handle: number): Buffer {
  return calling(() => addon().causalOldest(handle));
}

/** The end of what is delivered, as a cursor names it. A reader may come to it later: it gives nothing before the lane knows which events stand in it twice. */
export function causalLatest(handle: number): Buffer {
  return new NativeCausalReader(handle, null).place();
}

/** States for the application to take in, each once: those that the directory held. */
export function takeCausalStates(handle: number): NativeStates | null {
  return calling(() => addon().takeCausalStates(handle)) ?? null;
}

/** Whether newer states are to be kept, so that more of the logs can go. */
export function causalWantsStates(handle: number): boolean {
  return calling(() => addon().causalWantsStates(handle));
}

/** Whether some of the logs have gone that no states here cover. */
export function causalLacksStates(handle: number): boolean {
  return calling(() => addon().causalLacksStates(handle));
}

/** States on their way to the disk. */
export class NativeStatesWriter {
  readonly #states: InstanceType<ReturnType<typeof addon>['CausalStates']>;

  /** `place`: what is in them for certain. */
  constructor(place: Uint8Array) {
    this.#states = calling(() => new (addon().CausalStates)(place));
  }

  add(name: Uint8Array, state: Uint8Array): void {
    calling(() => this.#states.add(name, state));
  }

  /** Has them kept, and is empty then. */
  keep(handle: number): void {
    calling(() => this.#states.keep(handle));
  }
}

export function causalStatus(handle: number): NativeLane {
  return calling(() => addon().causalStatus(handle));
}
