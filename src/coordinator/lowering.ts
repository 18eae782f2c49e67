/** Lowers events to level causal: writes them to that lane, with word of it, and keeps room for their places (decision 23). */
import { type EventInput, LIMITS, type PublishOptions, type Receipt } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type EventIds, ownId } from '../events/index.js';
import { onAbort } from '../runtime/index.js';
import type { Said } from './causal-publisher.js';
import { type Asked, degradedEvent, type Lowered } from './place-notice.js';
import type { Placing } from './placing.js';
import type { Ending } from './publisher.js';
import type { SessionState } from './session.js';

export interface LoweringPorts {
  readonly placing: Placing;
  readonly ids: EventIds;
  /** What is no event, by its position; throws the first one's error without `each`. */
  refusals(events: readonly EventInput[], each: boolean): ReadonlyMap<number, CoordinatorError>;
  /** To the causal lane, behind what the session follows there; `writeMs` is how long the write may take after that. */
  causal(events: readonly EventInput[], options: PublishOptions, session: SessionState | null, said: Said, writeMs: number): Promise<Ending[]>;
}

/** What is being written to the disk here ends by itself: nobody takes it back. */
const WRITE_MS = 86_400_000;

export class Lowering {
  readonly #ports: LoweringPorts;

  constructor(ports: LoweringPorts) {
    this.#ports = ports;
  }

  /** Has kept the room behind what waits of `line`, and begun to write, when it returns first. `options.timeoutMs` is how long the caller waits. */
  async lower(events: readonly EventInput[], asked: Asked, options: PublishOptions & { readonly timeoutMs: number }, session: SessionState | null, each: boolean, line: SessionState | null): Promise<Ending[]> {
    const { placing, causal, ids } = this.#ports;
    if (events.length >= LIMITS.batchEventsMax) {
      throw new CoordinatorError('BATCH_TOO_LARGE', `without a quorum a batch has at most ${LIMITS.batchEventsMax - 1} events, this one ${events.length}`, { details: { limit: LIMITS.batchEventsMax - 1 } });
    }
    const named = events.map((event) => (event?.id === undefined ? { ...event, id: ids.next() } : event));
    const refusals = this.#ports.refusals(named, each);
    const good = named.filter((_, at) => !refusals.has(at)) as Lowered['event'][];
    const slot = placing.expect(line, asked.group, good.map(({ id }) => id));
    const said = { requestedLevel: asked.level, degraded: true, rule: asked.rule };
    const mark = ownId(ids);
    placing.mark(mark);
    const batch = [degradedEvent(mark, asked, good.map(({ id }) => id)), ...good];
    const written = good.length === 0 ? Promise.resolve([]) : causal(batch, options, session, said, WRITE_MS).then((endings) => endings.slice(1));
    const placed = written.then(
      (endings) => {
        // What the lane has already under the same id is refused, or stands where it was.
        const lowered = endings.flatMap((ending, at) => (ending instanceof CoordinatorError ? [] : [loweredOf(good[at] as Lowered['event'], ending)]));
        placing.fill(slot, lowered, asked);
        placing.lowered += lowered.length;
        return endings;
      },
      (error: unknown) => {
        placing.cancel(slot);
        throw error;
      },
    );
    const endings = await within(placed, options);
    let next = 0;
    return events.map((_, at) => refusals.get(at) ?? (endings[next++] as Ending));
  }
}

/** What `placed` comes to; or how its caller's time has ended, while it goes on. */
function within<T>(placed: Promise<T>, { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal?: AbortSignal }): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = () => {
      const [code, how] = signal?.aborted ? (['ABORTED', 'was aborted'] as const) : (['TIMEOUT', 'timed out'] as const);
      reject(new CoordinatorError(code, `the publish ${how} while it was being written to the disk of this node`, { committed: 'unknown' }));
    };
    const timer = setTimeout(end, timeoutMs).unref();
    const forget = onAbort(signal, end);
    if (signal?.aborted) end();
    void placed.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      forget();
    });
  });
}

/** A receipt of the causal lane knows who has written it; of one from elsewhere its clock has the row. */
function loweredOf(event: Lowered['event'], { index, offset, clock, hlc, actor }: Receipt & { readonly actor?: string }): Lowered {
  const row = Object.entries(clock ?? {}).find(([, counter]) => counter === index.toString());
  return { event, actor: actor ?? row?.[0] ?? '', index, offset, clock: clock ?? {}, hlc };
}
