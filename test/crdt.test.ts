/** CRDTs through the public API: laws over random histories, values, changes, and what is refused. */
import { execFileSync } from 'node:child_process';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { CoordinatorError, type CrdtChange, type CrdtDelta, CrdtReplica, type CrdtType, type CrdtValue } from '../dist/index.js';

const TYPES = ['g-counter', 'pn-counter', 'lww-register', 'mv-register', 'or-set', 'two-phase-set'] as const satisfies readonly CrdtType[];
const ACTORS = ['a', 'b', 'c'];

/** A value of any kind that replicas may hold. */
const values: fc.Arbitrary<CrdtValue> = fc.letrec<{ value: CrdtValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<CrdtValue>(null, true, false, 0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 2 ** 53),
    fc.integer(),
    fc.double(),
    fc.bigInt(),
    fc.string({ unit: 'grapheme' }),
    fc.uint8Array(),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 4 }), tie('value'), { maxKeys: 3 }),
  ),
})).value;

interface Step {
  readonly at: number;
  readonly kind: 'write' | 'remove' | 'drop' | 'deliver' | 'state';
  readonly key: string;
  readonly value: CrdtValue;
  readonly amount: number;
  readonly other: number;
}

const steps = fc.array(
  fc.record<Step>({
    at: fc.nat({ max: 2 }),
    kind: fc.constantFrom('write', 'write', 'write', 'remove', 'drop', 'deliver', 'deliver', 'state'),
    key: fc.constantFrom('k', 'kk', 'é'),
    value: fc.oneof({ weight: 4, arbitrary: fc.constantFrom<CrdtValue>('x', 'y', 1, null) }, values),
    amount: fc.nat({ max: 50 }),
    other: fc.nat(),
  }),
  { maxLength: 40 },
);

/** Under one key of a map, or of no map. */
function handleOf(replica: CrdtReplica, type: CrdtType, key: string | null) {
  if (key !== null) return replica.map('object', { of: type }).at(key);
  if (type === 'g-counter' || type === 'pn-counter') return replica.counter('object', { type });
  if (type === 'or-set' || type === 'two-phase-set') return replica.set('object', { type });
  return type === 'lww-register' ? replica.register('object') : replica.multiRegister('object');
}

function write(replica: CrdtReplica, type: CrdtType, mapped: boolean, { kind, key, value, amount }: Step): void {
  const handle = handleOf(replica, type, mapped ? key : null);
  if (kind === 'drop') {
    if (mapped) replica.map('object', { of: type }).delete(key);
  } else if ('increment' in handle) {
    if (kind === 'write' || type === 'g-counter') handle.increment(amount);
    else handle.decrement(amount);
  } else if ('add' in handle) {
    if (kind === 'write') handle.add(value);
    else handle.delete(value);
  } else {
    handle.set(value);
  }
}

/** What a reader sees, comparable. */
function read(replica: CrdtReplica, type: CrdtType, mapped: boolean): unknown {
  const one = (key: string | null): unknown => {
    const handle = handleOf(replica, type, key);
    if ('increment' in handle) return handle.value();
    return 'get' in handle ? handle.get() : handle.values();
  };
  return mapped ? replica.map('object', { of: type }).keys().map((key) => [key, one(key)]) : one(null);
}

/** Replicas after a history, and every delta that was made in it. */
function play(type: CrdtType, mapped: boolean, history: readonly Step[]): { replicas: CrdtReplica[]; deltas: CrdtDelta[] } {
  const replicas = ACTORS.map((actor) => new CrdtReplica({ actor }));
  const deltas: CrdtDelta[] = [];
  for (const step of history) {
    const replica = replicas[step.at] as CrdtReplica;
    if (step.kind === 'deliver') {
      if (deltas.length > 0) replica.merge(deltas[step.other % deltas.length] as CrdtDelta);
    } else if (step.kind === 'state') {
      for (const state of (replicas[step.other % replicas.length] as CrdtReplica).states()) replica.merge(state);
    } else {
      write(replica, type, mapped, step);
      if (step.other % 3 > 0) deltas.push(...replica.takeDeltas());
    }
  }
  for (const replica of replicas) deltas.push(...replica.takeDeltas());
  return { replicas, deltas };
}

function merged(parts: readonly CrdtDelta[]): CrdtReplica {
  const replica = new CrdtReplica({ actor: 'reader' });
  for (const part of parts) replica.merge(part);
  return replica;
}

for (const type of TYPES) {
  for (const mapped of [false, true]) {
    test(`${mapped ? 'a map of ' : ''}${type}: whatever the order, the losses and what comes twice, replicas with the same changes read the same`, (t) => {
      fc.assert(
        fc.property(steps, fc.array(fc.nat(), { maxLength: 60 }), (history, order) => {
          const { replicas, deltas } = play(type, mapped, history);
          const states = replicas.flatMap((replica) => replica.states());
          const whole = read(merged(states), type, mapped);
          // Commutative, associative, idempotent.
          t.deepEqual(read(merged([...states].reverse()), type, mapped), whole);
          t.deepEqual(read(merged([...merged(states.slice(1)).states(), ...states, ...states]), type, mapped), whole);
          // Deltas in any order, some twice, come to the whole state.
          const shuffled = deltas.map((delta, at) => ({ delta, place: order[at] ?? at })).sort((a, b) => a.place - b.place);
          const some = deltas.filter((_, at) => (order[at] ?? 0) % 2 === 1);
          t.deepEqual(read(merged([...shuffled.map(({ delta }) => delta), ...some]), type, mapped), whole);
          // And the replicas themselves, once all have heard of all.
          for (const replica of replicas) {
            for (const delta of deltas) replica.merge(delta);
            t.deepEqual(read(replica, type, mapped), whole);
            for (const delta of deltas) t.false(replica.merge(delta));
          }
        }),
        { numRuns: 60 },
      );
    });
  }
}

test('equal values are one element, and values come back as they went in', (t) => {
  fc.assert(
    fc.property(values, (value) => {
      const replica = new CrdtReplica({ actor: 'a' });
      replica.set('s').add(value, structuredClone(value));
      replica.register('r').set(value);
      t.deepEqual(replica.set('s').values(), [value]);
      t.deepEqual(replica.register('r').get(), value);
      t.true(replica.set('s').has(structuredClone(value)));
    }),
  );
  const replica = new CrdtReplica({ actor: 'a' });
  replica.set('s').add({ a: 1, b: 2 }, { b: 2, a: 1 }, '1', 1, 1n, '', new Uint8Array());
  t.is(replica.set('s').size, 6);
});

const codeOf = (t: ExecutionContext, call: () => unknown): string => t.throws(call, { instanceOf: CoordinatorError })?.code ?? '';

test('what no replica can hold is refused, and nothing is changed', (t) => {
  const replica = new CrdtReplica({ actor: 'a' });
  const deep = Array.from({ length: 70 }).reduce<CrdtValue>((inside) => [inside], 1);
  const bad = [undefined, () => 1, Symbol('s'), '\ud800', new Date(), new Map(), { x: undefined }, [1, '\udfff'], deep] as unknown as CrdtValue[];
  for (const value of bad) {
    t.is(codeOf(t, () => replica.set('s').add(1, value)), 'CRDT_VALUE_INVALID');
    t.is(codeOf(t, () => replica.register('r').set(value)), 'CRDT_VALUE_INVALID');
    t.is(codeOf(t, () => replica.map('m').assign([['k', 1], ['l', value]])), 'CRDT_VALUE_INVALID');
  }
  for (const amount of [-1, 0.5, Number.NaN, 2 ** 53, '1' as unknown as number]) {
    t.is(codeOf(t, () => replica.counter('c').increment(amount)), 'CRDT_VALUE_INVALID');
    t.is(codeOf(t, () => replica.counter('c').decrement(amount)), 'CRDT_VALUE_INVALID');
  }
  t.is(codeOf(t, () => replica.counter('g', { type: 'g-counter' }).decrement()), 'CRDT_TYPE_MISMATCH');
  t.is(codeOf(t, () => replica.map('m', { of: 'orset' as 'or-set' })), 'CRDT_TYPE_MISMATCH');
  t.is(codeOf(t, () => replica.register('')), 'CRDT_VALUE_INVALID');
  t.is(codeOf(t, () => replica.register('x'.repeat(1025))), 'CRDT_VALUE_INVALID');
  t.is(codeOf(t, () => replica.map('m').set(7 as unknown as string, 1)), 'CRDT_VALUE_INVALID');
  t.is(codeOf(t, () => replica.set('s').add('x'.repeat(70_000))), 'CRDT_LIMIT');
  t.is(codeOf(t, () => replica.register('r').set(new Uint8Array(1024 * 1024))), 'CRDT_LIMIT');
  t.is(codeOf(t, () => new CrdtReplica({ actor: '' }).counter('c')), 'CRDT_LIMIT');
  replica.counter('c').increment(Number.MAX_SAFE_INTEGER);
  t.is(codeOf(t, () => replica.counter('c').increment()), 'CRDT_LIMIT');
  t.deepEqual([replica.set('s').values(), replica.register('r').get(), replica.map('m').entries(), replica.counter('c').value()], [[], undefined, [], Number.MAX_SAFE_INTEGER]);
});

test('damaged and hostile deltas are refused, and the state is as it was', (t) => {
  const writer = new CrdtReplica({ actor: 'w' });
  writer.map('m').assign(Array.from({ length: 100 }, (_, at) => [`key-${at}`, at]));
  writer.map('m').delete('key-7');
  const [delta] = writer.takeDeltas() as [CrdtDelta];
  const reader = new CrdtReplica({ actor: 'r' });
  reader.map('m').set('own', 1);
  const before = reader.states();
  for (let at = 0; at < delta.bytes.length; at++) {
    const flipped = new Uint8Array(delta.bytes);
    flipped[at] = (flipped[at] as number) ^ 0x41;
    t.is(codeOf(t, () => reader.merge({ ...delta, bytes: flipped })), 'CRDT_STATE_INVALID');
    t.is(codeOf(t, () => reader.merge({ ...delta, bytes: delta.bytes.subarray(0, at) })), 'CRDT_STATE_INVALID');
  }
  t.is(codeOf(t, () => reader.merge({ ...delta, type: 'or-set', map: false })), 'CRDT_TYPE_MISMATCH');
  t.deepEqual(reader.states()[0], before[0]);
  t.true(reader.merge(delta));
  t.is(reader.map('m').size, 100);
});

test('replicas that have lost deltas find out what they lack', (t) => {
  const [one, other] = [new CrdtReplica({ actor: 'a' }), new CrdtReplica({ actor: 'b' })];
  const key = { name: 's', type: 'or-set', map: false } as const;
  one.set('s').add(...Array.from({ length: 20_000 }, (_, at) => at));
  other.merge({ ...key, bytes: one.state(key) });
  one.set('s').delete(7, 9_999, 15_000);
  one.set('s').add('new');
  other.set('s').delete(8);
  other.set('s').add('newer');
  for (const replica of [one, other]) replica.takeDeltas();
  const seen: CrdtChange[] = [];
  other.set('s').onChange((change) => seen.push(change));
  const sides = [other, one];
  let bytes = 0;
  for (let message: Uint8Array | null = one.beginCompare(key); message !== null; sides.reverse()) {
    const [receiver, sender] = sides as [CrdtReplica, CrdtReplica];
    bytes += message.length;
    const { reply, delta } = receiver.compare(key, message);
    if (delta !== null) {
      bytes += delta.bytes.length;
      sender.merge(delta);
    }
    message = reply;
  }
  t.deepEqual(one.states(), [...merged([...one.states(), ...other.states()]).states()]);
  t.deepEqual(one.set('s').values(), other.set('s').values());
  t.is(one.set('s').size, 19_998);
  t.true(bytes < 3_000, `${bytes} bytes`);
  t.deepEqual(seen.flatMap(({ keys }) => keys ?? []).map(String).sort(), ['15000', '7', '9999', 'new']);
  t.is(codeOf(t, () => one.compare(key, new Uint8Array(9))), 'CRDT_STATE_INVALID');
  t.is(codeOf(t, () => one.compare({ name: 'c', type: 'pn-counter', map: false }, other.beginCompare(key))), 'CRDT_TYPE_MISMATCH');
});

test('a clock that is far ahead is refused, one that is behind is followed', (t) => {
  const at = (nowMs: number) => ({ nowMs: () => nowMs, monotonicMs: () => 0, fillRandom: () => {}, randomU64: () => 1n });
  const [early, late] = [new CrdtReplica({ actor: 'e' }, at(1_000_000)), new CrdtReplica({ actor: 'l' }, at(1_060_001))];
  late.register('r').set('late');
  const [delta] = late.takeDeltas() as [CrdtDelta];
  t.is(codeOf(t, () => early.merge(delta)), 'CLOCK_AHEAD');
  t.is(early.register('r').get(), undefined);
  const later = new CrdtReplica({ actor: 'x' }, at(1_000_001));
  later.merge(delta);
  // What follows a write wins over it, whatever the clock here says.
  later.register('r').set('after');
  for (const next of later.takeDeltas()) late.merge(next);
  t.is(late.register('r').get(), 'after');
});

test('changes are told: what, and from where', (t) => {
  const [one, other] = [new CrdtReplica({ actor: 'a' }), new CrdtReplica({ actor: 'b' })];
  const seen: [string, CrdtChange][] = [];
  const ends = [
    one.set('s').onChange((change) => seen.push(['s', change])),
    one.map('m').onChange((change) => seen.push(['m', change])),
    one.map('n', { of: 'or-set' }).onChange((change) => seen.push(['n', change])),
    one.counter('c').onChange((change) => seen.push(['c', change])),
  ];
  one.set('s').add('x', 2);
  one.set('s').delete('nothing');
  other.set('s').add('y');
  other.map('m').set('k', 1);
  other.map('n', { of: 'or-set' }).at('key').add(1, 2);
  other.counter('c').increment();
  for (const delta of [...other.takeDeltas(), ...other.states()]) one.merge(delta);
  t.deepEqual(seen, [
    ['s', { keys: ['x', 2], remote: false }],
    ['s', { keys: ['y'], remote: true }],
    ['m', { keys: ['k'], remote: true }],
    ['n', { keys: ['key'], remote: true }],
    ['c', { keys: null, remote: true }],
  ]);
  for (const end of ends) end();
  one.set('s').add('z');
  t.is(seen.length, 5);
});

test('a listener that throws takes nothing from the writer, nor from other listeners', (t) => {
  const script = `
    import { CrdtReplica } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)};
    const seen = [];
    process.on('uncaughtException', (error) => seen.push(error.message));
    const set = new CrdtReplica({ actor: 'a' }).set('s');
    set.onChange(() => { throw new Error('mine'); });
    set.onChange(({ keys }) => seen.push(keys));
    set.add('x');
    setImmediate(() => console.log(JSON.stringify([seen, set.values()])));`;
  const printed = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  t.deepEqual(JSON.parse(printed), [[['x'], 'mine'], ['x']]);
});
