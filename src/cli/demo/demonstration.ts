import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { CoordinatorError } from '../../errors/index.js';
import { withClients } from '../nodes.js';
import { progress } from '../progress.js';
import { ReceiptFile } from '../replay/receipts.js';
import { Replay, type ReplaySummary } from '../replay/replay.js';
import { countOperations, traceEvents } from '../trace/index.js';
import { withScans } from '../verify/open.js';
import { readReceipts } from '../verify/receipts.js';
import { verdictError } from '../verify/report.js';
import { type Verdict, verifyJournals } from '../verify/verify.js';
import { Cluster } from './cluster.js';
import { Failover, type FailoverFigures } from './failover.js';

export interface DemonstrationOptions {
  readonly trace: string;
  /** Where the nodes keep their files; null for a new temporary directory. */
  readonly directory: string | null;
  /** Operations of the trace at most; null for all. */
  readonly limit: number | null;
  /** Events a second; null for as many as go. */
  readonly rate: number | null;
  /** Leave the cluster up afterwards. */
  readonly keep: boolean;
  readonly signal: AbortSignal;
}

export interface DemonstrationResult {
  readonly directory: string;
  readonly receiptsFile: string;
  readonly replay: ReplaySummary;
  readonly failover: FailoverFigures;
  readonly verdict: Verdict;
  /** Null when everything holds. */
  readonly error: CoordinatorError | null;
}

/**
 * Three nodes, a recorded session published through all of them in turn, the leader killed half-way and started again,
 * and at the end the stopped nodes' files compared with each other and with the receipts.
 */
export class Demonstration {
  readonly #options: DemonstrationOptions;
  readonly #directory: string;
  readonly #temporary: boolean;
  #cluster: Cluster | null = null;

  /** `USAGE` when the directory has something in it. */
  constructor(options: DemonstrationOptions) {
    this.#options = options;
    this.#temporary = options.directory === null;
    this.#directory = options.directory === null ? mkdtempSync(join(tmpdir(), 'vexcoord-')) : emptyDirectory(options.directory);
  }

  get directory(): string {
    return this.#directory;
  }

  get cluster(): Cluster | null {
    return this.#cluster;
  }

  async run(): Promise<DemonstrationResult> {
    const { trace, limit, keep, signal } = this.#options;
    const operations = await countOperations(trace);
    const total = Math.min(limit ?? operations, operations);
    this.#cluster = await Cluster.plan(this.#directory, keep);
    const cluster = this.#cluster;
    await this.#uninterrupted(cluster.start());
    const shown = progress('Replaying', total);
    const receiptsFile = join(this.#directory, 'receipts.jsonl');
    let replay: ReplaySummary;
    let failover: FailoverFigures;
    try {
      ({ replay, failover } = await this.#replay(cluster, total, receiptsFile, new Failover(cluster, shown, Math.ceil(total / 20)), (done) => shown.update(done)));
    } finally {
      shown.stop();
    }
    signal.throwIfAborted();
    await this.#uninterrupted(cluster.equal());
    await cluster.stop();
    const receipts = await readReceipts(receiptsFile);
    const directories = cluster.members.map((member) => member.settings.dataDir);
    const verdict = await withScans(directories, (scans) => verifyJournals(scans, receipts), { wanted: [...receipts.keys()] });
    const error = verdictError(verdict) ?? countError(verdict, replay, total, receipts.size);
    if (keep && error === null) await this.#uninterrupted(cluster.start());
    return { directory: this.#directory, receiptsFile, replay, failover, verdict, error };
  }

  /** Ends what still runs; removes the temporary directory unless there is something to look at in it. */
  cleanUp(success: boolean): void {
    if (this.#options.keep && success) {
      for (const member of this.#cluster?.members ?? []) member.release();
      return;
    }
    this.#cluster?.killNow();
    if (this.#temporary && success) rmSync(this.#directory, { recursive: true, force: true });
  }

  async #replay(cluster: Cluster, total: number, receiptsFile: string, failover: Failover, onProgress: (done: number) => void) {
    const { trace, limit, rate, signal } = this.#options;
    const receipts = new ReceiptFile(receiptsFile);
    const half = Math.floor(total / 2);
    try {
      return await withClients({ api: cluster.members.map((member) => member.settings.api) }, async (clients) => {
        const run = new Replay({
          clients,
          publish: { consistency: 'linearizable', timeoutMs: 20_000 },
          rate,
          signal,
          onReceipt: (receipt) => {
            receipts.write(receipt);
            failover.acknowledged();
          },
          onProgress: (done) => {
            onProgress(done);
            if (done >= half && !failover.begun) failover.begin();
          },
        });
        const replay = await run.run(first(traceEvents(trace, { reads: true, onInvalidLine: raise }), limit));
        signal.throwIfAborted();
        if (run.failure !== null) throw this.#memberFailure(cluster) ?? run.failure;
        return { replay, failover: await this.#uninterrupted(failover.finish()) };
      });
    } finally {
      receipts.close();
    }
  }

  /** The member that ended by itself, which explains more than the publish it failed. */
  #memberFailure(cluster: Cluster): CoordinatorError | null {
    return cluster.members.find((member) => !member.running)?.failure('ended by itself') ?? null;
  }

  #uninterrupted<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#options;
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const abort = (): void => reject(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
    });
  }
}

/** What `log verify` cannot know: that the journal holds this replay's events and nothing else. */
function countError(verdict: Verdict, replay: ReplaySummary, total: number, receipts: number): CoordinatorError | null {
  if (replay.events === total && receipts === total && verdict.events === total) return null;
  return new CoordinatorError(
    'VERIFY_FAILED',
    `of ${total} operations ${replay.events} were acknowledged, ${receipts} receipts were written and the journal holds ${verdict.events} events`,
  );
}

function emptyDirectory(path: string): string {
  const directory = resolve(path);
  if (existsSync(directory) && readdirSync(directory).length > 0) throw new CoordinatorError('USAGE', `the directory ${directory} is not empty`);
  mkdirSync(directory, { recursive: true });
  return directory;
}

function raise(error: CoordinatorError): void {
  throw error;
}

async function* first<T>(source: AsyncIterable<T>, limit: number | null): AsyncGenerator<T> {
  let left = limit ?? Number.POSITIVE_INFINITY;
  for await (const item of source) {
    yield item;
    left -= 1;
    if (left <= 0) return;
  }
}
