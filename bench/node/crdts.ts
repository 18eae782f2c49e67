/** Concurrent writes to one CRDT of a node, and when the last of all nodes' writes was there. */
import type { Coordinator, CrdtType } from '../../dist/index.js';
import { monotonicMs } from './causal.js';
import type { CrdtRun, CrdtState } from './commands.js';

interface Subject {
  write(node: string, at: number): Promise<unknown>;
  state(): unknown;
  onChange(listener: () => void): void;
}

let lastChangeMs = 0;
let subject: Subject | null = null;

/** As many different keys and elements as a busy directory has. */
const KEYS = 50;

const SUBJECTS: { readonly [type in CrdtType | 'map']: (node: Coordinator) => Subject } = {
  'g-counter': ({ crdt }) => of(crdt.counter('g', { type: 'g-counter' }), (one) => one.increment(1), (one) => one.value()),
  'pn-counter': ({ crdt }) => of(crdt.counter('pn'), (one, _, at) => (at % 3 === 0 ? one.decrement(1) : one.increment(2)), (one) => one.value()),
  'lww-register': ({ crdt }) => of(crdt.register('lww'), (one, node, at) => one.set(`${node}${at}`), (one) => one.get()),
  'mv-register': ({ crdt }) => of(crdt.multiRegister('mv'), (one, node, at) => one.set(`${node}${at}`), (one) => one.values()),
  'or-set': ({ crdt }) => of(crdt.set('or'), (one, node, at) => (at % 4 === 3 ? one.delete(at % KEYS) : one.add(at % KEYS, `${node}${at}`)), (one) => one.values()),
  'two-phase-set': ({ crdt }) => of(crdt.set('two', { type: 'two-phase-set' }), (one, node, at) => (at % 4 === 3 ? one.delete(at % KEYS) : one.add(at % KEYS, `${node}${at}`)), (one) => one.values()),
  map: ({ crdt }) => of(crdt.map('map'), (one, node, at) => one.set(`${at % KEYS}`, `${node}${at}`), (one) => one.entries()),
};

function of<H extends { onChange(listener: () => void): () => void }>(handle: H, write: (handle: H, node: string, at: number) => Promise<unknown>, state: (handle: H) => unknown): Subject {
  return { write: (node, at) => write(handle, node, at), state: () => state(handle), onChange: (listener) => void handle.onChange(listener) };
}

/** Notes from now on when the CRDT of that type changes. */
export function openCrdt(node: Coordinator, type: CrdtType | 'map'): void {
  subject = SUBJECTS[type](node);
  subject.onChange(() => {
    lastChangeMs = monotonicMs();
  });
}

/** Makes writes one after the other without waiting for each; answers when the last was made. */
export async function writeCrdt(node: Coordinator, { operations }: CrdtRun): Promise<number> {
  const receipts: Promise<unknown>[] = [];
  let last = 0;
  for (let at = 0; at < operations; at++) {
    last = monotonicMs();
    receipts.push(subject!.write(node.nodeId, at));
    // Others' come in between.
    if (at % 10 === 9) await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(receipts);
  return last;
}

export function crdtState(): CrdtState {
  return { lastChangeMs, state: JSON.stringify(subject!.state()) };
}
