/** CRDTs beside those of others, in one run; the crate `crdts` by a program of the same machine. */
import { spawnSync } from 'node:child_process';
import { isDeepStrictEqual } from 'node:util';
import { CrdtReplica } from '../../dist/index.js';
import { mergeTimes } from '../crdt/clocks.js';
import { HOLDERS } from '../crdt/holders.js';
import { type Entries, type MapKind, MAPS } from '../crdt/maps.js';
import { heldBy } from '../crdt/memory.js';
import { PEER_ELEMENTS, SETS } from '../crdt/sets.js';
import type { Context, Suite } from '../context.js';
import { closeRoom, openRoom } from '../rooms.js';
import { median } from '../samples.js';

const KEYS = 100_000;
const CHANGES = 100;
const REPLICAS = 10;
/** What is held hardly differs from run to run. */
const MEMORY_ROUNDS = 3;

/** Values without a pattern: a run of them would flatter whoever compresses. */
const scattered = (at: number, shift: number): number => ((at + shift * 31) * 2_654_435_761) % 1_000_003;
const entriesOf = (count: number, shift: number): Entries => Array.from({ length: count }, (_, at) => [`key-${at}`, scattered(at, shift)] as const);

/** Changes to keys that lie apart. */
const changesOf = (keys: number): Entries => Array.from({ length: CHANGES }, (_, at) => [`key-${(at * 9_973) % keys}`, scattered(at, 7)] as const);

function timeMs(run: () => void): number {
  const began = process.hrtime.bigint();
  run();
  return Number(process.hrtime.bigint() - began) / 1e6;
}

interface MapFigures {
  readonly mergeMs: number[];
  readonly intoEmptyMs: number[];
  readonly deltaMs: number[];
  stateBytes: number;
  deltaBytes: number;
}

/** Full states merged into replicas that have other values under the same keys, and into empty ones; then a delta. */
function measureMap(kind: MapKind, keys: number, rounds: number): MapFigures {
  const figures: MapFigures = { mergeMs: [], intoEmptyMs: [], deltaMs: [], stateBytes: 0, deltaBytes: 0 };
  for (let round = 0; round < rounds; round++) {
    const [one, other, empty] = [kind.make(1), kind.make(2), kind.make(3)];
    one.assign(entriesOf(keys, 0));
    other.assign(entriesOf(keys, 1));
    const state = one.state();
    other.delta();
    figures.stateBytes = state.length;
    figures.intoEmptyMs.push(timeMs(() => empty.merge(state)));
    figures.mergeMs.push(timeMs(() => other.merge(state)));
    one.merge(other.state());
    one.delta();
    one.assign(changesOf(keys));
    const delta = one.delta();
    figures.deltaBytes = delta.length;
    figures.deltaMs.push(timeMs(() => other.merge(delta)));
    if (!isDeepStrictEqual(one.read(), other.read())) throw new Error(`${kind.name}: replicas with the same changes differ`);
  }
  return figures;
}

/** Milliseconds from the first write of many replicas until all are equal. */
function untilEqualMs(kind: MapKind): number {
  const replicas = Array.from({ length: REPLICAS }, (_, actor) => kind.make(actor));
  const ms = timeMs(() => {
    const deltas = replicas.map((replica, actor) => {
      for (let at = 0; at < 100; at++) replica.assign([[`key-${(actor * 37 + at) % 250}`, at]]);
      return replica.delta();
    });
    replicas.forEach((replica, own) => {
      for (const delta of deltas.filter((_, actor) => actor !== own)) replica.merge(delta);
    });
  });
  const [first, ...others] = replicas.map((replica) => replica.read());
  if (others.some((other) => !isDeepStrictEqual(other, first))) throw new Error(`${kind.name}: replicas with the same changes differ`);
  return ms;
}

function maps({ options, report, progress }: Context): void {
  const found = new Map<string, MapFigures>();
  const equal = new Map<string, number>();
  for (const kind of MAPS) {
    const keys = Math.min(options.quick ? 2_000 : KEYS, kind.keysMax);
    progress(`  map of ${kind.name}: ${keys.toLocaleString('en')} keys`);
    const figures = measureMap(kind, keys, kind.keysMax < KEYS ? 1 : options.rounds);
    found.set(kind.name, figures);
    report.addRounds('crdt', `crdt.map.${kind.name}.merge`, figures.mergeMs, 'ms');
    report.addRounds('crdt', `crdt.map.${kind.name}.intoEmpty`, figures.intoEmptyMs, 'ms');
    report.add('crdt', `crdt.map.${kind.name}.stateBytes`, figures.stateBytes / keys, 'bytes');
    report.add('crdt', `crdt.map.${kind.name}.delta100.bytes`, figures.deltaBytes, 'bytes');
    report.addRounds('crdt', `crdt.map.${kind.name}.delta100.merge`, figures.deltaMs, 'ms');
    untilEqualMs(kind);
    const times = Array.from({ length: options.rounds }, () => untilEqualMs(kind));
    equal.set(kind.name, median(times));
    report.addRounds('crdt', `crdt.tenReplicas.${kind.name}`, times, 'ms');
  }
  const ratio = (of: (figures: MapFigures) => number, peer: string): number => of(found.get(peer) as MapFigures) / of(found.get('ours') as MapFigures);
  report.add('crdt', 'crdt.map.merge.yjsRatio', ratio(({ mergeMs }) => median(mergeMs), 'yjs'), 'ratio');
  report.add('crdt', 'crdt.map.intoEmpty.yjsRatio', ratio(({ intoEmptyMs }) => median(intoEmptyMs), 'yjs'), 'ratio');
  report.add('crdt', 'crdt.map.merge.jsonRatio', ratio(({ mergeMs }) => median(mergeMs), 'json'), 'ratio');
  report.add('crdt', 'crdt.map.intoEmpty.jsonRatio', ratio(({ intoEmptyMs }) => median(intoEmptyMs), 'json'), 'ratio');
  report.add('crdt', 'crdt.map.stateBytes.yjsShare', 1 / ratio(({ stateBytes }) => stateBytes, 'yjs'), 'ratio');
  report.add('crdt', 'crdt.map.delta100.yjsRatio', ratio(({ deltaMs }) => median(deltaMs), 'yjs'), 'ratio');
  report.add('crdt', 'crdt.tenReplicas.yjsRatio', (equal.get('yjs') as number) / (equal.get('ours') as number), 'ratio');
}

function sets({ options, report, progress }: Context): void {
  progress('  set beside the crate crdts');
  const cargo = spawnSync('cargo', ['run', '--quiet', '--release', '--manifest-path', 'native/Cargo.toml', '-p', 'vexfs-core', '--example', 'crdt_speed'], { encoding: 'utf8' });
  if (cargo.status === 0) {
    for (const line of cargo.stdout.trim().split('\n')) {
      const { figure, value, unit } = JSON.parse(line) as { figure: string; value: number; unit: 'ms' | 'ratio' | 'bytes' };
      report.add('crdt', figure, value, unit);
    }
  } else progress(`  left out: the program could not be built or run (${cargo.error?.message ?? cargo.stderr.trim().split('\n').at(-1)})`);

  for (const { name, prepare } of SETS) {
    const times = Array.from({ length: options.rounds }, () => {
      const merge = prepare(PEER_ELEMENTS);
      return timeMs(() => void merge());
    });
    report.addRounds('crdt', `crdt.set.${name}.merge500`, times, 'ms');
  }
  const count = options.quick ? 2_000 : KEYS;
  const elements = Array.from({ length: count }, (_, at) => at);
  const replica = new CrdtReplica({ actor: 'a' });
  report.add('crdt', 'crdt.set.add', (timeMs(() => replica.set('s').add(...elements)) * 1000) / count, 'us');
  const values = Array.from({ length: options.rounds }, () => timeMs(() => replica.set('s').values()));
  report.addRounds('crdt', 'crdt.set.values', values, 'ms');
}

/** One replica of each kind in a process of its own: as it has written everything itself, and as it has taken all of it in. */
function memory({ options, report, progress }: Context): void {
  const room = openRoom(options.directory, 'crdt');
  for (const kind of HOLDERS) {
    const count = Math.min(options.quick ? 10_000 : KEYS, kind.elementsMax);
    progress(`  memory of a ${kind.form} of ${kind.name}: ${count.toLocaleString('en')} elements`);
    const writer = kind.make();
    const ways: [string, Uint8Array | null][] = [['', null]];
    if (writer.state !== null) {
      writer.write(0, count);
      ways.push(['.received', writer.state()]);
    }
    for (const [way, state] of ways) {
      const rounds = Array.from({ length: Math.min(options.rounds, MEMORY_ROUNDS) }, () => heldBy(kind, count, room, state));
      const figure = `crdt.memory.${kind.form}.${kind.name}${way}`;
      report.addRounds('crdt', `${figure}.resident`, rounds.map(({ resident }) => resident), 'bytes');
      report.addRounds('crdt', `${figure}.heap`, rounds.map(({ heap }) => heap), 'bytes');
    }
  }
  closeRoom(room);
}

export const crdt: Suite = {
  name: 'crdt',
  summary: 'CRDTs and vector clocks, beside yjs, loro, automerge, plain JSON and the crate crdts',
  async run(context) {
    maps(context);
    sets(context);
    memory(context);
    context.progress('  vector clocks');
    for (const entries of [5, 50, 500]) {
      const { native, dense } = mergeTimes(entries, context.options.rounds);
      context.report.add('crdt', `crdt.clocks.${entries}.merge`, native / 1000, 'us');
      context.report.add('crdt', `crdt.clocks.${entries}.dense`, dense / 1000, 'us');
      context.report.add('crdt', `crdt.clocks.${entries}.ratio`, dense / native, 'ratio');
    }
  },
};
