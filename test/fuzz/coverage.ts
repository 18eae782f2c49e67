/** What of the product has run: V8's own block counts, so that nothing is compiled or instrumented for it. */
import { type Profiler, Session } from 'node:inspector';

/** Counts of one block that are told apart: once, a few times, often. */
const BUCKETS = [1, 2, 4, 8, 32, 128];
const bucketOf = (count: number): number => BUCKETS.findLastIndex((least) => count >= least);

export class Coverage {
  readonly #session = new Session();
  readonly #seen = new Set<string>();

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Blocks, and how often they ran at once, that were seen so far. */
  get size(): number {
    return this.#seen.size;
  }

  /** How much of what one input has run had not run so before; it counts as seen from now on. */
  take(): number {
    const before = this.#seen.size;
    for (const { block, count } of this.#ran()) this.#seen.add(`${block}:${bucketOf(count)}`);
    return this.#seen.size - before;
  }

  /** How many blocks several inputs have run that had not run before, however often; they count as seen only once they are taken. */
  peek(): number {
    let news = 0;
    for (const { block, count } of this.#ran()) if (!BUCKETS.some((_, bucket) => bucket <= bucketOf(count) && this.#seen.has(`${block}:${bucket}`))) news += 1;
    return news;
  }

  #ran(): { block: string; count: number }[] {
    const ran: { block: string; count: number }[] = [];
    // A session on this thread answers before `post` returns.
    this.#session.post('Profiler.takePreciseCoverage', (error, answer?: Profiler.TakePreciseCoverageReturnType) => {
      if (error !== null || answer === undefined) throw error ?? new Error('V8 tells no coverage');
      for (const { url, functions } of answer.result) {
        if (!url.includes('/dist/') || url.includes('/node_modules/')) continue;
        for (const { ranges } of functions) {
          for (const { startOffset, endOffset, count } of ranges) if (count > 0) ran.push({ block: `${url}:${startOffset}:${endOffset}`, count });
        }
      }
    });
    return ran;
  }

  close(): void {
    this.#session.disconnect();
  }
}
