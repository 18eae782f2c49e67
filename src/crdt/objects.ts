import type { CrdtHandles, CrdtKey, CrdtMap, CrdtMapOf, CrdtObjects, CrdtState, CrdtType } from '../contracts/index.js';
import { CoordinatorError, nearest } from '../errors/index.js';
import { Counter } from './counter.js';
import { HandleMap, RegisterMap } from './map.js';
import { type Commit, LocalObject } from './object.js';
import { MultiRegister, Register } from './register.js';
import { ElementSet } from './set.js';

/** One line a type: what its handle is. */
const HANDLES: { readonly [T in CrdtType]: <W>(object: LocalObject<W>, key?: Uint8Array) => CrdtHandles<W>[T] } = {
  'g-counter': (object, key) => new Counter(object, key),
  'pn-counter': (object, key) => new Counter(object, key),
  'lww-register': (object, key) => new Register(object, key),
  'mv-register': (object, key) => new MultiRegister(object, key),
  'or-set': (object, key) => new ElementSet(object, key),
  'two-phase-set': (object, key) => new ElementSet(object, key),
};

const NAME_BYTES_MAX = 1024;

/** What objects are made with. */
export interface ObjectPorts<W> {
  /** A state of its own for a new object. */
  makeState(key: CrdtKey): CrdtState;
  nowMs(): number;
  readonly commit: Commit<W>;
}

/** The objects of one replica, each made when it is first named. */
export class LocalObjects<W> implements CrdtObjects<W> {
  readonly #ports: ObjectPorts<W>;
  readonly #objects = new Map<string, LocalObject<W>>();

  constructor(ports: ObjectPorts<W>) {
    this.#ports = ports;
  }

  counter(name: string, { type = 'pn-counter' }: { readonly type?: 'pn-counter' | 'g-counter' } = {}) {
    return this.#handle(name, type, ['pn-counter', 'g-counter']);
  }

  register(name: string) {
    return this.#handle(name, 'lww-register', ['lww-register']);
  }

  multiRegister(name: string) {
    return this.#handle(name, 'mv-register', ['mv-register']);
  }

  set(name: string, { type = 'or-set' }: { readonly type?: 'or-set' | 'two-phase-set' } = {}) {
    return this.#handle(name, type, ['or-set', 'two-phase-set']);
  }

  map(name: string): CrdtMap<W>;
  map<T extends CrdtType>(name: string, options: { readonly of: T }): CrdtMapOf<W, CrdtHandles<W>[T]>;
  map(name: string, options?: { readonly of: CrdtType }): CrdtMap<W> | CrdtMapOf<W, CrdtHandles<W>[CrdtType]> {
    const type = options?.of ?? 'lww-register';
    checkType(type, Object.keys(HANDLES) as CrdtType[]);
    const object = this.object({ name, type, map: true });
    if (options === undefined) return new RegisterMap(object);
    const open: (of: LocalObject<W>, key: Uint8Array) => CrdtHandles<W>[CrdtType] = HANDLES[type];
    return new HandleMap(object, open);
  }

  /** The object of that name and type, made if it is new. */
  object(key: CrdtKey): LocalObject<W> {
    const place = `${key.map ? 'map of ' : ''}${key.type}\0${key.name}`;
    let object = this.#objects.get(place);
    if (object === undefined) {
      checkName(key.name);
      object = new LocalObject(key, this.#ports.makeState(key), () => this.#ports.nowMs(), this.#ports.commit);
      this.#objects.set(place, object);
    }
    return object;
  }

  all(): IterableIterator<LocalObject<W>> {
    return this.#objects.values();
  }

  #handle<T extends CrdtType>(name: string, type: T, allowed: readonly T[]): CrdtHandles<W>[T] {
    checkType(type, allowed);
    return HANDLES[type](this.object({ name, type, map: false }));
  }
}

function checkType(type: CrdtType, allowed: readonly CrdtType[]): void {
  if (allowed.includes(type)) return;
  const close = typeof type === 'string' ? nearest(type, allowed) : null;
  throw new CoordinatorError('CRDT_TYPE_MISMATCH', `${JSON.stringify(type)} is none of the types here; ${close === null ? `allowed: ${allowed.join(', ')}.` : `did you mean ${close}?`}`);
}

function checkName(name: string): void {
  const bytes = typeof name === 'string' && name.isWellFormed() ? Buffer.byteLength(name) : 0;
  if (bytes === 0 || bytes > NAME_BYTES_MAX) throw new CoordinatorError('CRDT_VALUE_INVALID', `an object's name of ${bytes} bytes; allowed: a well-formed string of 1 to ${NAME_BYTES_MAX} bytes.`);
}
