/** Publishes at intended times, whether or not earlier publishes have ended; latency counts from the intended time. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Coordinator } from '../../dist/index.js';
import { Samples } from '../samples.js';
import type { OpenLoop, OpenLoopResult } from './commands.js';
import { freshId } from './events.js';
import type { Journal } from './journal.js';

const PAYLOAD = Buffer.alloc(256, 7);

export class OpenLoopRun {
  readonly #node: Coordinator;
  readonly #options: OpenLoop;
  readonly #journal: Journal;
  readonly #stop = new SharedArrayBuffer(4);
  readonly #intended = new Samples();
  readonly #ended = new Samples();
  readonly #underWay = new Set<Promise<void>>();
  #failed = 0;
  #firstError: string | null = null;
  #paced: Promise<unknown> = Promise.resolve();

  private constructor(node: Coordinator, options: OpenLoop, journal: Journal) {
    this.#node = node;
    this.#options = options;
    this.#journal = journal;
  }

  /** Resolves when the first publish was made. */
  static async start(node: Coordinator, options: OpenLoop, journal: Journal): Promise<OpenLoopRun> {
    await journal.begin(node);
    const run = new OpenLoopRun(node, options, journal);
    const intervalMs = (1000 * options.batch) / options.ratePerSecond;
    const pacer = new Worker(new URL('./pacer.mjs', import.meta.url), { workerData: { intervalMs, durationMs: options.durationMs, stop: run.#stop } });
    const originMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();
    pacer.on('message', (dueMs: number) => run.#publish(dueMs - originMs));
    run.#paced = once(pacer, 'exit');
    await once(pacer, 'message');
    return run;
  }

  #publish(intendedMs: number): void {
    const { batch, timeoutMs } = this.#options;
    const events = Array.from({ length: batch }, () => ({ id: freshId(), type: 'FilesystemWrite', payload: PAYLOAD }));
    const publish = this.#node.publishBatch(events, { timeoutMs }).then(
      () => {
        this.#intended.add(intendedMs);
        this.#ended.add(performance.now());
        for (const event of events) this.#journal.acknowledged(event.id);
      },
      (error: unknown) => {
        this.#failed += 1;
        this.#firstError ??= String(error);
      },
    );
    this.#underWay.add(publish);
    void publish.finally(() => this.#underWay.delete(publish));
  }

  async join(): Promise<OpenLoopResult> {
    await this.#paced;
    await Promise.all(this.#underWay);
    return { intendedMs: this.#intended.values(), endedMs: this.#ended.values(), failed: this.#failed, firstError: this.#firstError };
  }

  stop(): Promise<OpenLoopResult> {
    const cell = new Int32Array(this.#stop);
    Atomics.store(cell, 0, 1);
    Atomics.notify(cell, 0);
    return this.join();
  }
}
