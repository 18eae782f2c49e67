/** Publishing that goes on whatever happens to the members: in sessions and without, in their processes and through their API. */
import { ApiClient, isRetryable, OrderedPublisher, RoundRobinPublisher } from '../../dist/api/index.js';
import { CoordinatorError } from '../../dist/errors/index.js';
import { fileWrite, isBefore, sleep, type Undoing, until } from '../helpers/cluster.js';
import type { NodeProcess, PlainReceipt, RemoteError, RemoteOptions } from '../helpers/node-process.js';
import { must } from './context.js';
import type { Ledger } from './ledger.js';
import { Random } from './random.js';

const ATTEMPT_MS = 1500;
/** Longer than the attempt's own time: a member that was killed may say nothing at all. */
const SILENCE_MS = 2500;
const RETRY_MS = 20;
const PAUSE_MS_MAX = 30;
const PAYLOAD_BYTES_MAX = 3000;
const PIPELINE_EVENTS = 8;
const API_TIMEOUT_MS = 60_000;

export type LaneKind = 'session' | 'pipeline' | 'alone' | 'api' | 'stream';
type Event = ReturnType<typeof fileWrite>;

/** Failures after which the same event is tried again under its id; any other is a fault. */
const passing = (error: unknown): boolean =>
  error instanceof CoordinatorError ? isRetryable(error) : ['GONE', 'SILENT', 'TIMEOUT', 'UNAVAILABLE', 'NOT_LEADER', 'CLOSED', 'BACKPRESSURE', 'MEMBER_REMOVED', 'NODE_FAILED'].includes((error as RemoteError).code);

/** Each lane publishes one event, or one pipeline, after the other and gives none up: when all lanes have ended, every event has its receipt. */
export class Load {
  /** Attempts that ended without a receipt. */
  retries = 0;
  readonly #random: Random;
  readonly #clients: readonly ApiClient[];
  readonly #running: Promise<void>[];
  #failure: unknown = null;
  #stopped = false;
  #abandoned = false;

  constructor(
    undoing: Undoing,
    private readonly members: () => readonly NodeProcess[],
    addresses: readonly string[],
    private readonly ledger: Ledger,
    seed: number,
    lanes: readonly LaneKind[],
  ) {
    this.#random = new Random(seed);
    this.#clients = addresses.map((address) => new ApiClient(address));
    undoing.teardown(() => {
      this.#stopped = true;
      this.#abandoned = true;
      for (const client of this.#clients) client.close();
    });
    this.#running = lanes.map(async (kind, lane) => {
      try {
        await this.#lane(kind, lane);
      } catch (error) {
        this.#failure ??= error;
      }
    });
  }

  /** Waits until `count` more events are acknowledged. */
  async more(count: number): Promise<void> {
    const wanted = this.ledger.size + count;
    await until(`${count} more receipts`, () => this.#failure !== null || this.ledger.size >= wanted, 120_000);
    if (this.#failure !== null) throw this.#failure;
  }

  /** Ends after the events under way have their receipts. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
    if (this.#failure !== null) throw this.#failure;
  }

  #retried(): void {
    this.retries += 1;
  }

  #event(lane: number, at: number): Event {
    return fileWrite(`/${lane}/${at}`, 1 + this.#random.below(PAYLOAD_BYTES_MAX));
  }

  async #lane(kind: LaneKind, lane: number): Promise<void> {
    if (kind === 'stream') return this.#stream(lane);
    const publisher = kind === 'api' ? new RoundRobinPublisher(this.#clients, { timeoutMs: API_TIMEOUT_MS, onRetry: () => this.#retried() }) : null;
    for (let at = 0; !this.#stopped; at++) {
      if (kind === 'pipeline') await this.#pipeline(lane, at);
      else if (publisher !== null) this.ledger.add(settled(await publisher.publish(this.#event(lane, at))));
      else await this.#persist(this.#event(lane, at), lane + at, (attempt) => (kind === 'alone' || attempt % 2 === 1 ? null : undefined));
      await sleep(this.#random.below(PAUSE_MS_MAX));
    }
  }

  /** One event, until it has its receipt; every attempt through the next member, in the session that `session` names (undefined: the member's own). */
  async #persist(event: Event, start: number, session: (attempt: number) => string | null | undefined): Promise<PlainReceipt | null> {
    for (let attempt = 0; !this.#abandoned; attempt++) {
      const members = this.members();
      const member = members[(start + attempt) % Math.max(1, members.length)];
      const named = session(attempt);
      const options: RemoteOptions = { timeoutMs: ATTEMPT_MS, ...(named === undefined ? {} : { session: named }) };
      try {
        if (member !== undefined) {
          const receipt = await Promise.race([member.publish(event, options), silence()]);
          this.ledger.add(receipt);
          return receipt;
        }
      } catch (error) {
        if (!passing(error)) throw error;
        this.#retried();
      }
      await sleep(RETRY_MS);
    }
    return null;
  }

  /** Some events of one session, none awaited before the last is made: what a receipt was got for is in the order of the calls. */
  async #pipeline(lane: number, at: number): Promise<void> {
    const events = Array.from({ length: PIPELINE_EVENTS }, (_, each) => this.#event(lane, at * PIPELINE_EVENTS + each));
    const members = this.members();
    const member = members[at % Math.max(1, members.length)];
    let answers: readonly (PlainReceipt | { readonly code: string })[] = [];
    try {
      if (member !== undefined) answers = await Promise.race([member.pipeline(events, { session: `lane-${lane}`, timeoutMs: ATTEMPT_MS }), silence()]);
    } catch (error) {
      if (!passing(error)) throw error;
      this.#retried();
    }
    let last: PlainReceipt | null = null;
    for (const [each, event] of events.entries()) {
      const answer = answers[each];
      if (answer !== undefined && 'eventId' in answer) {
        must(last === null || isBefore(last, answer), `a session's events ${last?.eventId} and ${answer.eventId} are not in the order of their calls`);
        this.ledger.add(answer);
        last = answer;
      } else {
        must(answer === undefined || passing(answer), `a publish of a session was refused: ${answer?.code}`);
        await this.#persist(event, at + 1, () => null);
      }
    }
  }

  /** One API stream, many on their way at once: their order in the journal is that in which they were given. */
  async #stream(lane: number): Promise<void> {
    const publisher = new OrderedPublisher(this.#clients, { timeoutMs: API_TIMEOUT_MS, onRetry: () => this.#retried() });
    let last: PlainReceipt | null = null;
    let settledAll: Promise<void> = Promise.resolve();
    for (let at = 0; !this.#stopped; at++) {
      await publisher.ready();
      settledAll = publisher.submit(this.#event(lane, at)).then((result) => {
        const receipt = settled(result);
        must(last === null || isBefore(last, receipt), `the stream's events ${last?.eventId} and ${receipt.eventId} are not in the order they were given`);
        this.ledger.add(receipt);
        last = receipt;
      });
      settledAll.catch((error: unknown) => {
        this.#failure ??= error;
      });
      await sleep(this.#random.below(PAUSE_MS_MAX));
    }
    await settledAll;
    publisher.close();
  }
}

function settled(result: PlainReceipt | CoordinatorError): PlainReceipt {
  if (result instanceof CoordinatorError) throw result;
  return result;
}

function silence(): Promise<never> {
  return new Promise((_, reject) => setTimeout(() => reject(Object.assign(new Error('no answer came'), { code: 'SILENT' })), SILENCE_MS).unref());
}
