/** Items by when they are due, those of the same moment in the order in which they came: a binary heap. */
interface Waiting<T> {
  readonly dueMs: number;
  readonly number: number;
  readonly item: T;
}

const before = <T>(a: Waiting<T>, b: Waiting<T>): boolean => a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.number < b.number);

export class DueQueue<T> {
  readonly #heap: Waiting<T>[] = [];
  #number = 0;

  /** When the first is due; infinite where nothing waits. */
  get nextMs(): number {
    return this.#heap[0]?.dueMs ?? Number.POSITIVE_INFINITY;
  }

  add(dueMs: number, item: T): void {
    const added = { dueMs, number: this.#number++, item };
    const heap = this.#heap;
    let at = heap.push(added) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(added, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = added;
  }

  /** Takes the first. */
  take(): T | null {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (first === undefined || last === undefined) return null;
    if (heap.length === 0) return first.item;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first.item;
  }
}
