/** Decision 18: publishes wait for room group by group, and a busy group leaves room for the others. */
import test from 'ava';
import { Admission } from '../dist/coordinator/admission.js';
import { codeOf } from './helpers/cluster.js';

/** Bytes that wait, by group, and who was let in. */
class Room {
  readonly held = new Map<number, number>();
  readonly entered: string[] = [];
  readonly admission: Admission;

  constructor(groups: number, groupSharePercentage = 50) {
    this.admission = new Admission({
      bytes: () => [...this.held.values()].reduce((sum, bytes) => sum + bytes, 0),
      bytesOf: (group) => this.held.get(group) ?? 0,
      bytesMax: 100,
      groups,
      groupSharePercentage,
    });
  }

  /** A publish of so many bytes: let in at once, or when its turn comes. */
  async publish(group: number, bytes: number, name = `${group}`, signal?: AbortSignal): Promise<void> {
    if (this.admission.waits(group)) await this.admission.turn(group, signal, 60_000);
    this.held.set(group, (this.held.get(group) ?? 0) + bytes);
    this.entered.push(name);
    this.admission.entered();
  }

  /** Receipts came for so many bytes. */
  free(group: number, bytes: number): void {
    this.held.set(group, (this.held.get(group) ?? 0) - bytes);
    this.admission.admit();
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a group that has its share waits, the others go on', async (t) => {
  const room = new Room(3);
  await room.publish(0, 50);
  const waiting = room.publish(0, 10, 'second of 0');
  await room.publish(1, 10);
  await settled();
  t.deepEqual(room.entered, ['0', '1']);
  room.free(0, 1);
  await waiting;
  t.is(room.entered.at(-1), 'second of 0');
});

test('one group alone has everything', async (t) => {
  const room = new Room(1, 10);
  await room.publish(0, 99);
  await room.publish(0, 10);
  t.true(room.admission.waits(0));
});

test('groups take turns, and each keeps its order', async (t) => {
  const room = new Room(3);
  await Promise.all([room.publish(0, 50), room.publish(1, 50)]);
  const all = [0, 0, 0, 1, 1, 2].map((group, at) => room.publish(group, 50, `${group}.${at}`));
  for (const group of [0, 1]) room.free(group, 50);
  for (let free = 0; free < 6; free++) {
    await settled();
    const full = [...room.held].find(([, bytes]) => bytes >= 50);
    if (full !== undefined) room.free(full[0], 50);
  }
  await Promise.all(all);
  const rest = room.entered.slice(2);
  t.deepEqual(rest.filter((name) => name.startsWith('0')), ['0.0', '0.1', '0.2']);
  t.deepEqual(rest.filter((name) => name.startsWith('1')), ['1.3', '1.4']);
  t.true(rest.indexOf('2.5') < 3, `the third group is let in early: ${rest.join()}`);
});

test('too many that wait are refused, of one group before others are', async (t) => {
  const room = new Room(2);
  await Promise.all([room.publish(0, 50), room.publish(1, 50)]);
  const ends: Promise<void>[] = [];
  for (let count = 0; count < 5_000; count++) ends.push(room.publish(0, 1));
  const refused = await t.throwsAsync(room.publish(0, 1), { code: 'GROUP_QUOTA', message: /^5000 publishes to group 0 wait .*limits\.groupSharePercentage is 50/ } as never);
  t.like(refused, { committed: 'no', details: { group: 0, limit: 5_000, groupSharePercentage: 50 } });
  for (let count = 0; count < 5_000; count++) ends.push(room.publish(1, 1));
  t.is(await codeOf(room.publish(1, 1)), 'BACKPRESSURE');
  room.admission.release();
  await Promise.all(ends);
});

test('a group has its equal part of the places, however many others are busy', async (t) => {
  const room = new Room(4, 100);
  await room.publish(0, 100);
  const ends: Promise<void>[] = [];
  for (let count = 0; count < 10_000; count++) ends.push(room.publish(0, 1));
  t.is(await codeOf(room.publish(0, 1)), 'BACKPRESSURE');
  for (let count = 0; count < 2_500; count++) ends.push(room.publish(3, 1));
  t.is(await codeOf(room.publish(3, 1)), 'BACKPRESSURE');
  room.admission.release();
  await Promise.all(ends);
});

test('whoever gives up leaves the line', async (t) => {
  const room = new Room(2);
  await room.publish(0, 50);
  const gone = new AbortController();
  const aborted = room.publish(0, 1, 'aborted', gone.signal);
  const next = room.publish(0, 1, 'next');
  gone.abort();
  t.is(await codeOf(aborted), 'ABORTED');
  room.free(0, 50);
  await next;
  t.deepEqual(room.entered, ['0', 'next']);
  t.is(await codeOf(room.publish(0, 1, 'late', gone.signal)), 'none', 'there is room: nobody waits');
});
