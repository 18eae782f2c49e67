/**
 * The CRDTs' states on disk, apart from the lane's logs, so that those can go as far as the states cover (rule R11). What has gone of a log is
 * in no delta any more: until states are there that cover it, from this directory or another member, the objects are not whole.
 */
import type { CrdtKey } from '../contracts/index.js';
import type { LocalObject } from '../crdt/index.js';
import { CoordinatorError } from '../errors/index.js';
import { CausalPlace } from '../events/index.js';
import { causalLacksStates, causalOldest, causalWantsStates, NativeStatesWriter, takeCausalStates } from '../native/index.js';

export interface CrdtStatesPorts {
  readonly handle: number;
  objects(): Iterable<Pick<LocalObject<unknown>, 'key' | 'state'>>;
  /** What all objects have taken in, as a cursor names it. */
  place(): CausalPlace;
  /** Of a place, what the logs are not needed for by anybody else; null where that cannot be told now. */
  free(place: CausalPlace): CausalPlace | null;
  /** More has been taken in than what deltas have brought: they go on from there. */
  moveTo(place: CausalPlace): void;
  /** Resolves once all that was written until now is in the lane; false where that failed. */
  published(): Promise<boolean>;
  merge(key: unknown, state: Uint8Array): void;
  /** All that has gone of the logs is in the objects: takes in what the logs have behind it. */
  onWhole(): Promise<void>;
  onFailed(error: CoordinatorError): void;
}

/** How often it is looked whether newer states are wanted, or others have come. */
const LOOK_MS = 200;
/** Looks that are left out where states could not say all that they cover: newer ones would be wanted over and over, and let nothing go. */
const REST_LOOKS = 50;

export class CrdtStates {
  readonly #ports: CrdtStatesPorts;
  #looking: NodeJS.Timeout | null = null;
  #keeping = false;
  /** Looks that newer states are not kept at. */
  #rests = 0;
  #whole = false;
  /** What is behind the states was taken in, too. */
  #usable = false;

  constructor(ports: CrdtStatesPorts) {
    this.#ports = ports;
  }

  /** Takes in the states that the directory holds, and has deltas taken from where they end. */
  load(): void {
    const { handle, moveTo, place } = this.#ports;
    this.#takeIn();
    this.#whole = !causalLacksStates(handle);
    this.#usable = this.#whole;
    if (this.#whole) moveTo(CausalPlace.read(causalOldest(handle)).with(place()));
  }

  /** Whether all that has gone of the logs is in the objects. */
  get whole(): boolean {
    return this.#whole;
  }

  /** Throws `STATE_LOST` while the objects are not whole. */
  check(): void {
    if (this.#usable) return;
    throw new CoordinatorError('STATE_LOST', "the causal lane's logs go on from states of CRDTs that cannot be read here; other members are asked for theirs");
  }

  /** From now on states are kept when the logs could go further for it, and those of other members taken in that come. */
  begin(): void {
    this.#looking = setInterval(() => void this.#look(), LOOK_MS).unref();
  }

  close(): void {
    if (this.#looking !== null) clearInterval(this.#looking);
    this.#looking = null;
  }

  async #look(): Promise<void> {
    if (this.#keeping) return;
    this.#keeping = true;
    try {
      // What has come from another member is kept at once: the logs wait for it.
      this.#rests = this.#takeIn() ? 0 : Math.max(0, this.#rests - 1);
      if (!this.#whole && !causalLacksStates(this.#ports.handle)) {
        this.#whole = true;
        await this.#ports.onWhole().finally(() => {
          this.#usable = true;
        });
      }
      if (this.#rests === 0 && causalWantsStates(this.#ports.handle)) await this.#keep();
    } catch (thrown) {
      if (this.#looking !== null) this.#ports.onFailed(CoordinatorError.from(thrown));
    } finally {
      this.#keeping = false;
    }
  }

  /** False where there are none. */
  #takeIn(): boolean {
    const { handle, merge, moveTo, place } = this.#ports;
    const found = takeCausalStates(handle);
    if (found === null) return false;
    for (const { name, state } of found.list) merge(JSON.parse(name.toString()), state);
    moveTo(place().with(CausalPlace.read(found.place)));
    return true;
  }

  /** States are taken one by one: what comes meanwhile may be in some of them, which does no harm. */
  async #keep(): Promise<void> {
    const { handle, objects, place, free, published } = this.#ports;
    const taken = place();
    const covered = free(taken);
    if (covered === null) return;
    const writer = new NativeStatesWriter(covered.encode());
    for (const { key, state } of [...objects()]) {
      writer.add(nameOf(key), state.state());
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#looking === null) return;
    }
    // A change that is in a state and in nobody's log, when this node ends here, would be in no other replica ever.
    if (!(await published())) return;
    writer.keep(handle);
    if (!covered.covers(taken)) this.#rests = REST_LOOKS;
  }
}

function nameOf({ name, type, map }: CrdtKey): Buffer {
  return Buffer.from(JSON.stringify({ name, type, map }));
}
