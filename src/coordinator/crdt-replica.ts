import type { CrdtCompared, CrdtDelta, CrdtKey } from '../contracts/index.js';
import { LocalObjects } from '../crdt/index.js';
import { NativeCrdt } from '../native/index.js';
import { type Ports, realPorts } from '../runtime/index.js';

export interface CrdtReplicaOptions {
  /** Tells the writes of this replica from those of all others, for ever: one that comes back with an older state needs a new one. 1 to 80 bytes. */
  readonly actor: string;
}

/**
 * CRDT objects without a node: writes are in memory at once, and deltas travel however the caller likes, in any order, any number of times.
 * A node's own objects are `node.crdt`.
 */
export class CrdtReplica extends LocalObjects<void> {
  constructor({ actor }: CrdtReplicaOptions, ports: Ports = realPorts) {
    super({
      makeState: (key) => new NativeCrdt(key, actor, Number(ports.randomU64() >> 11n)),
      nowMs: () => ports.nowMs(),
      commit: (_, change) => change(),
    });
  }

  /** What writes here have changed since the last call, one delta for each object. */
  takeDeltas(): CrdtDelta[] {
    return [...this.all()].flatMap(({ key, state }) => {
      const bytes = state.takeDelta();
      return bytes === null ? [] : [{ ...key, bytes }];
    });
  }

  /** The whole state of every object. */
  states(): CrdtDelta[] {
    return [...this.all()].map(({ key, state }) => ({ ...key, bytes: state.state() }));
  }

  /** The whole state of one object. */
  state(key: CrdtKey): Uint8Array {
    return this.object(key).state.state();
  }

  /**
   * The first message of a comparison of one object with another replica's, for its `compare`: what either has missed is found out, whatever
   * deltas were lost, in bytes that go with what differs.
   */
  beginCompare(key: CrdtKey): Uint8Array {
    return this.object(key).state.beginCompare();
  }

  /**
   * Takes a message of a comparison. The two are equal once each has taken the other's replies here, and deltas by `merge`.
   * Throws `CRDT_STATE_INVALID` or `CRDT_TYPE_MISMATCH`, and nothing has changed.
   */
  compare(key: CrdtKey, message: Uint8Array): CrdtCompared {
    return this.object(key).compare(message);
  }

  /**
   * Takes in a state or a delta of another replica. True when anything has changed.
   * Throws `CRDT_STATE_INVALID`, `CRDT_TYPE_MISMATCH`, `CRDT_LIMIT` or `CLOCK_AHEAD`, and nothing has changed.
   */
  merge({ bytes, ...key }: CrdtDelta): boolean {
    return this.object(key).merge(bytes);
  }
}
