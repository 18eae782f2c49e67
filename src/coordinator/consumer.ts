/** A named consumer of this node (rule R8): takes its name over, claims what it is about to hand out, acknowledges. */
import { LIMITS } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import type { ConsumerRequest, SubmissionWriter } from '../events/index.js';
import { type ConsumerPlace, type Core, END, type End } from '../native/index.js';
import { compare, type Position } from './position.js';
import type { Requests } from './requests.js';

export interface ConsumerPorts {
  readonly core: Core;
  readonly requests: Requests;
  readonly writer: SubmissionWriter;
  readonly nodeId: string;
  readonly group: number;
  readonly timeoutMs: number;
  randomU64(): bigint;
}

export class Consumer {
  readonly #ports: ConsumerPorts;
  readonly #name: string;
  /** Where it stood when it was taken over: what lies after `acknowledged` and up to `claimed` may have been seen. */
  readonly #start: ConsumerPlace;
  #claimed: Position;
  #acknowledged: Position;
  /** Highest acknowledgement asked for, and the one on its way. */
  #wanted: Position;
  #acknowledging: Promise<void> | null = null;

  private constructor(ports: ConsumerPorts, name: string, start: ConsumerPlace) {
    this.#ports = ports;
    this.#name = name;
    this.#start = start;
    this.#claimed = start.claimed;
    this.#acknowledged = start.acknowledged;
    this.#wanted = start.acknowledged;
  }

  /** Takes the name over; a new one stands right after `from`. Whoever held it gets `CONSUMER_FENCED` from now on. */
  static async attach(ports: ConsumerPorts, name: string, from: Position, signal: AbortSignal): Promise<Consumer> {
    const bytes = Buffer.byteLength(name);
    if (bytes === 0 || bytes > LIMITS.consumerNameBytesMax) {
      throw new CoordinatorError('FILTER_INVALID', `the consumer's name has ${bytes} bytes; 1 to ${LIMITS.consumerNameBytesMax} are allowed`);
    }
    const holder = ports.randomU64();
    const end = await command(ports, name, 'consumerAttach', holder, from, signal);
    if (end.kind === END.consumersFull) throw new CoordinatorError('BACKPRESSURE', `there are as many named consumers as allowed; ${JSON.stringify(name)} is one too many`);
    return new Consumer(ports, name, end.consumer);
  }

  get fencingToken(): bigint {
    return this.#start.epoch;
  }

  get acknowledged(): Position {
    return this.#acknowledged;
  }

  isRedelivered(index: bigint, offset: number): boolean {
    return compare({ index, offset }, this.#start.claimed) <= 0;
  }

  /** Commits that delivery may go up to here, before it does. */
  async claim(through: Position, signal: AbortSignal): Promise<void> {
    if (compare(through, this.#claimed) <= 0) return;
    const end = await command(this.#ports, this.#name, 'consumerClaim', this.#start.epoch, through, signal);
    this.#check(end);
    this.#claimed = through;
  }

  /** Resolves when everything up to here is acknowledged for good; calls in between share one commit. */
  async ack(index: bigint, offset: number): Promise<void> {
    const through = { index, offset };
    if (compare(through, this.#wanted) > 0) this.#wanted = through;
    while (compare(this.#acknowledged, through) < 0) {
      this.#acknowledging ??= this.#acknowledge(this.#wanted).finally(() => {
        this.#acknowledging = null;
      });
      await this.#acknowledging;
    }
  }

  async #acknowledge(through: Position): Promise<void> {
    const end = await command(this.#ports, this.#name, 'consumerAcknowledge', this.#start.epoch, through);
    this.#check(end);
    if (compare(through, this.#acknowledged) > 0) this.#acknowledged = through;
  }

  #check(end: End): void {
    if (end.kind !== END.consumerFenced) return;
    throw new CoordinatorError('CONSUMER_FENCED', `consumer ${JSON.stringify(this.#name)} was taken over by another subscription`);
  }
}

function command(ports: ConsumerPorts, name: string, kind: 'consumerAttach' | 'consumerClaim' | 'consumerAcknowledge', epoch: bigint, at: Position, signal?: AbortSignal): Promise<End> {
  const request: ConsumerRequest = {
    level: 'linearizable',
    origin: ports.nodeId,
    group: ports.group,
    session: null,
    firstSequence: 0n,
    acknowledgedThrough: 0n,
    hlc: 0n,
    name,
    epoch,
    index: at.index,
    offset: at.offset,
  };
  const bytes = ports.writer.packConsumer(kind, request);
  const options = { what: `consumer ${JSON.stringify(name)}`, group: ports.group, timeoutMs: ports.timeoutMs, signal, bytes: bytes.length };
  return ports.requests.make(options, (number) => ports.core.submit(number, bytes, 1));
}
