/** The search for what earlier lives have lowered, over a lane that cannot be read, or not yet, or has let go of something. */
import FakeTimers from '@sinonjs/fake-timers';
import test from 'ava';
import { Placing } from '../dist/coordinator/placing.js';
import { degradedEvent } from '../dist/coordinator/place-notice.js';
import type { LaneEvent } from '../dist/coordinator/own-lane.js';
import { Unplaced } from '../dist/coordinator/unplaced.js';
import { CoordinatorError, type EventInput, type OrderedEvent } from '../dist/index.js';
import { Catalogue, EventIds, newEventId, ownId, PLACED } from '../dist/events/index.js';
import { realPorts } from '../dist/runtime/index.js';

const catalogue = new Catalogue({});
const ids = new EventIds(realPorts);
const asked = { group: 0, level: 'linearizable', rule: 'levels.soft' } as const;
/** All that happens without a timer. */
const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
};

/** One event an entry, each with its mark in front. */
class Lane {
  readonly entries: { readonly actor: string; readonly events: readonly OrderedEvent[] }[] = [];
  actor: string | null = 'a';
  /** Ids of the lane are known; until then it gives nothing. */
  readable = true;
  damaged = false;
  readonly gone = new Set<bigint>();
  reads = 0;
  #had = 0;

  write(events: readonly EventInput[], actor = 'a'): void {
    const stored = events.map((event) => ({ payload: new Uint8Array(), metadata: null, path: null, hlc: 1n, ...event, code: catalogue.codeOf(event.type) }) as unknown as OrderedEvent);
    this.entries.push({ actor, events: stored });
  }
  lower(actor = 'a', id = newEventId()): string {
    this.write([degradedEvent(ownId(ids), asked, [id]), { id, type: 'FilesystemWrite', path: '/soft/x' }], actor);
    return id;
  }
  #of(at: number): LaneEvent[] {
    const { actor, events } = this.entries[at] as (typeof this.entries)[number];
    return events.map((event, offset) => ({ event, actor, index: BigInt(at + 1), offset, clock: {} }));
  }
  #check(): void {
    this.reads += 1;
    if (this.damaged) throw new CoordinatorError('LOG_DAMAGED', 'entry 1 of a cannot be read');
  }

  unread(except: string | null) {
    const more = this.entries.slice(this.#had).some(({ actor }) => actor !== except);
    return more ? [[{ name: 'a', member: 1n, incarnation: 0 }, BigInt(this.#had)] as const] : [];
  }
  notes(): LaneEvent[] | null {
    this.#check();
    if (!this.readable || this.#had >= this.entries.length) return null;
    return this.#of(this.#had++).slice(0, 1);
  }
  async behind({ index, offset }: Pick<LaneEvent, 'index' | 'offset'>, wanted: ReadonlySet<string>): Promise<LaneEvent[]> {
    this.#check();
    if (this.gone.has(index)) throw new CoordinatorError('CURSOR_COMPACTED', 'it is no longer in its log');
    return this.#of(Number(index) - 1).filter((one) => one.offset > offset && wanted.has(one.event.id));
  }
  isGone({ index }: Pick<LaneEvent, 'index'>): boolean {
    return this.gone.has(index);
  }
  close(): void {}
}

function make(lane: Lane) {
  const placed: string[] = [];
  const noted: EventInput[] = [];
  const placing = new Placing({
    quorum: { state: () => 'there' } as never,
    catalogue,
    ids,
    publish: async (notices) => {
      placed.push(...notices.map(({ id }) => id as string));
      return notices.map(() => ({}) as never);
    },
    keep: async (event) => noted.push(event),
  });
  return { placing, placed, noted, unplaced: new Unplaced(lane as never, placing) };
}

test.serial('damage in the lane is told, and looked at again now and then; nobody is kept busy by it', async (t) => {
  const clock = FakeTimers.install({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
  t.teardown(() => clock.uninstall());
  const lane = new Lane();
  const id = lane.lower();
  lane.damaged = true;
  const { unplaced, placing, placed, noted } = make(lane);
  for (let at = 0; at < 20; at++) {
    await t.notThrowsAsync(unplaced.look());
    clock.tick(500);
  }
  t.is(placing.unreadable?.code, 'LOG_DAMAGED');
  t.true(lane.reads <= 2, `it was read ${lane.reads} times in 10 seconds`);
  lane.damaged = false;
  for (let at = 0; at < 22; at++) {
    await unplaced.look();
    clock.tick(500);
    await settled();
  }
  await settled();
  t.deepEqual([placing.unreadable, placed, placing.waiting], [null, [id], 0]);
  clock.tick(100);
  t.deepEqual(noted.map(({ type }) => type), [PLACED]);
  unplaced.close();
  placing.close();
});

test.serial('nothing counts as found before the lane gives what is in it', async (t) => {
  const lane = new Lane();
  lane.lower();
  lane.readable = false;
  const { unplaced, placing } = make(lane);
  await unplaced.look();
  t.is(placing.waiting, 0);
  lane.readable = true;
  await unplaced.look();
  t.is(placing.waiting, 1);
  unplaced.close();
  placing.close();
});

test.serial('what has gone from a log that was lost here does not keep back what comes behind it', async (t) => {
  const lane = new Lane();
  lane.lower();
  const id = lane.lower();
  lane.gone.add(1n);
  const { unplaced, placing } = make(lane);
  await unplaced.look();
  t.deepEqual([placing.refused, placing.waiting, placing.waitsFor(id)], [1, 1, true]);
  unplaced.close();
  placing.close();
});

test.serial('what comes back of an earlier life before it is decided who writes is found, and what this life lowers is not', async (t) => {
  for (const writer of ['a', 'a~7']) {
    const lane = new Lane();
    lane.actor = null;
    const { unplaced, placing } = make(lane);
    await unplaced.look();
    const back = lane.lower();
    await unplaced.look();
    lane.actor = writer;
    const [mark, own] = [newEventId(), newEventId()];
    placing.mark(mark);
    lane.write([degradedEvent(mark, asked, [own]), { id: own, type: 'FilesystemWrite', path: '/soft/own' }], writer);
    await unplaced.look();
    t.deepEqual([placing.waitsFor(back), placing.waitsFor(own)], [true, false]);
    const later = lane.lower('a~3');
    await unplaced.look();
    t.true(placing.waitsFor(later));
    unplaced.close();
    placing.close();
  }
});
