/** Places of the causal lane: what a cursor names, whatever it went through. */
import test from 'ava';
import fc from 'fast-check';
import { CausalPast, CausalPlace, CursorCodec, type Stands } from '../dist/events/index.js';

const [a, b, c] = ['a', 'b', 'c'].map((name, at) => ({ name, member: BigInt(at + 1) << 60n, incarnation: at })) as [Origin, Origin, Origin];
type Origin = { readonly name: string; readonly member: bigint; readonly incarnation: number };
const bytes = (place: CausalPlace): string => place.encode().toString('hex');
const again = (place: CausalPlace): CausalPlace => CausalPlace.read(place.encode());

test('parts of entries are kept until their entry is had, several of them at once', (t) => {
  const within = CausalPlace.first.within(a, 1n, 3).within(b, 5n, 0);
  t.is(bytes(again(within)), bytes(within));
  const later = again(within).after([[c, 7n]]);
  t.is(bytes(later), bytes(CausalPlace.first.within(a, 1n, 3).within(b, 5n, 0).after([[c, 7n]])));
  t.is(bytes(later.after([[a, 1n], [b, 5n]])), bytes(CausalPlace.first.after([[b, 5n], [c, 7n], [a, 1n]])));
  // Of an entry that is had no part is left, and none goes back.
  t.is(bytes(later.after([[b, 4n]])), bytes(later));
});

test('places are joined to the one after both', (t) => {
  const [one, other] = [CausalPlace.first.after([[a, 3n]]).within(b, 2n, 1), CausalPlace.first.after([[a, 1n], [c, 4n]]).within(b, 2n, 4)];
  const both = CausalPlace.first.after([[a, 3n], [c, 4n]]).within(b, 2n, 4);
  for (const joined of [one.with(other), other.with(one), one.with(other).with(one)]) t.deepEqual([...joined.encode()].sort(), [...both.encode()].sort());
  t.is(bytes(one.with(CausalPlace.first)), bytes(one));
  t.is(bytes(CausalPlace.first.after([[b, 2n]]).with(one.with(other))).length, bytes(CausalPlace.first.after([[a, 3n], [b, 2n], [c, 4n]])).length);
});

test('cursors of the lane are checked', (t) => {
  const [cursors, others] = [new CursorCodec('one'), new CursorCodec('other')];
  const text = cursors.encodeCausal(CausalPlace.first.within(a, 9n, 2).encode());
  t.is(bytes(CausalPlace.read(cursors.decodeCausal(text) as Uint8Array)), bytes(CausalPlace.first.within(a, 9n, 2)));
  t.is(cursors.decodeCausal(cursors.encode({ group: 0, index: 1n, offset: 0 })), null);
  for (const wrong of ['', 'x', 'nonsense!', text.slice(0, -2), `${text}AAAA`]) t.throws(() => cursors.decodeCausal(wrong), { code: 'CURSOR_INVALID' });
  for (const wrong of [5, {}, null, undefined]) for (const decode of [cursors.decodeCausal.bind(cursors), cursors.decode.bind(cursors)]) t.throws(() => decode(wrong as unknown as string), { code: 'CURSOR_INVALID' });
  t.throws(() => others.decodeCausal(text), { code: 'CURSOR_INVALID' });
  t.throws(() => cursors.decode(text), { code: 'CURSOR_INVALID', message: /causal lane/ });
});

/** Bytes that are nearly a place, and such that are not. */
const nearly = fc
  .tuple(fc.array(fc.tuple(fc.bigInt({ min: 0n, max: 2n }), fc.nat(1), fc.oneof(fc.constantFrom(0n, 1n, 2n ** 64n - 2n, 2n ** 64n - 1n), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }))), { maxLength: 4 }), fc.array(fc.tuple(fc.bigInt({ min: 0n, max: 2n }), fc.nat(1)), { maxLength: 3 }), fc.integer({ min: -1, max: 1 }))
  .map(([rows, parts, more]) => {
    const bytes = Buffer.alloc(4 + 20 * rows.length + 16 * parts.length + Math.max(0, more));
    bytes.writeUInt16LE(rows.length, 0);
    bytes.writeUInt16LE(parts.length, 2);
    const actors = [...rows, ...parts];
    for (const [row, [member, incarnation]] of actors.entries()) {
      const at = 4 + 20 * Math.min(row, rows.length) + 16 * Math.max(0, row - rows.length);
      bytes.writeBigUInt64LE(member, at);
      bytes.writeUInt32LE(incarnation, at + 8);
    }
    for (const [row, [, , counter]] of rows.entries()) bytes.writeBigUInt64LE(counter, 4 + 20 * row + 12);
    return bytes.subarray(0, bytes.length + Math.min(0, more));
  });

test('whatever a cursor with the right check names is a place that others can follow, or refused as such', (t) => {
  const cursors = new CursorCodec('one');
  const other = CausalPlace.first.within(a, 9n, 2);
  let [read, refused] = [0, 0];
  const property = fc.property(fc.oneof(nearly, fc.uint8Array({ maxLength: 120 })), (bytes) => {
    try {
      const place = CausalPlace.read(cursors.decodeCausal(cursors.encodeCausal(bytes)) as Uint8Array);
      for (const one of [place, place.with(other), other.with(place)]) {
        t.true((one.follows()?.length ?? 0) >= 0);
        CausalPlace.read(cursors.decodeCausal(cursors.encodeCausal(one.encode())) as Uint8Array);
      }
      read++;
    } catch (thrown) {
      t.is((thrown as { code?: string }).code, 'CURSOR_INVALID', String(thrown));
      refused++;
    }
  });
  fc.assert(property, { numRuns: 3_000 });
  t.true(read > 100 && refused > 100, `${read} read, ${refused} refused`);
});

test('two places of very many actors are no place together', (t) => {
  const many = (member: bigint) => CausalPlace.first.after(Array.from({ length: 40_000 }, (_, incarnation) => [{ member, incarnation }, 1n] as const));
  t.throws(() => many(1n).with(many(2n)).encode(), { code: 'CURSOR_INVALID' });
  t.throws(() => many(1n).follows(), { code: 'USAGE' });
});

/** Writers that hear of each other now and then: what each has written, with all that it had heard of. */
const lane = fc.array(fc.record({ by: fc.nat(2), hears: fc.nat(2), events: fc.integer({ min: 1, max: 3 }) }), { minLength: 1, maxLength: 30 });

test('how events stand to each other is the closure of single steps', (t) => {
  const property = fc.property(lane, (steps) => {
    const heard = [a, b, c].map(() => new Map<Origin, bigint>());
    const events: (Stands & { readonly past: ReadonlySet<number> })[] = [];
    for (const { by, hears, events: count } of steps) {
      const [origin, had] = [[a, b, c][by] as Origin, heard[by] as Map<Origin, bigint>];
      for (const [of, counter] of heard[hears] as Map<Origin, bigint>) if (counter > (had.get(of) ?? 0n)) had.set(of, counter);
      const index = (had.get(origin) ?? 0n) + 1n;
      // Whatever the clock says: those that stand in what was heard of, and theirs.
      const known = events.flatMap((event, at) => (event.index <= (had.get(event.origin as Origin) ?? 0n) ? [at, ...event.past] : []));
      had.set(origin, index);
      const rows = [...had];
      for (let offset = 0; offset < count; offset++) {
        const before = offset === 0 ? known : [events.length - 1, ...(events.at(-1) as { past: ReadonlySet<number> }).past];
        events.push({ origin, index, offset, rows, past: new Set(before) });
      }
    }
    for (const [one, event] of events.entries()) {
      const past = new CausalPast([event]);
      for (const [two, other] of events.entries()) {
        const expected = one === two ? 'same' : event.past.has(two) ? 'before' : other.past.has(one) ? 'after' : 'concurrent';
        t.is(past.relation([other]), expected);
        // A reader that has come right behind the event has had what was before, in whole entries.
        if (expected === 'before' && other.index !== event.index) t.true(past.behind().of(other.origin) >= other.index);
      }
      t.true(past.end().covers(past.behind()));
    }
  });
  fc.assert(property, { numRuns: 300 });
});
