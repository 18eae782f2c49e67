/**
 * A fuzzer guided by coverage: inputs that have new blocks run, or a block much more often, are kept and changed further.
 * V8 counts in batches, since asking it takes longer than most inputs do; a batch with news in it is run again one by one.
 */
import type { Coverage } from './coverage.js';
import { mutate } from './mutate.js';
import { Random } from './random.js';
import type { Target } from './target.js';

const BATCH = 256;
/** An input that takes longer than this, twice, is a find too. */
const SLOW_MS = 2_000;
const PROGRESS_MS = 5_000;

export interface Find {
  readonly input: Uint8Array;
  readonly error: unknown;
}

export interface Fuzzed {
  readonly executions: number;
  readonly covered: number;
  /** Inputs with something new, each with what it has to itself, in the order in which they were met. */
  readonly corpus: readonly Uint8Array[];
  readonly find: Find | null;
}

export interface FuzzOptions {
  readonly seconds: number;
  readonly seed: number;
  /** What there is besides the target's seeds. */
  readonly corpus: readonly Uint8Array[];
  onProgress?(line: string): void;
}

/** What is wrong with an answer, or null. How long it took is for the fuzzer alone to judge. */
export async function once(target: Target, input: Uint8Array): Promise<Find | null> {
  try {
    await target.run(input);
    return null;
  } catch (error) {
    return { input, error };
  }
}

async function timed(target: Target, input: Uint8Array): Promise<Find | null> {
  const begun = performance.now();
  const find = await once(target, input);
  const tookMs = Math.round(performance.now() - begun);
  return find === null && tookMs > SLOW_MS ? { input, error: new Slow(`it took ${tookMs} ms`) } : find;
}

class Slow extends Error {}

/** `coverage` began before anything of the product was loaded: V8 counts blocks only of what it compiles from then on. */
export async function fuzz(target: Target, coverage: Coverage, { seconds, seed, corpus, onProgress }: FuzzOptions): Promise<Fuzzed> {
  const random = new Random(seed);
  const words = target.words.map((word) => Buffer.from(word, 'latin1'));
  const kept: Uint8Array[] = [];
  let executions = 0;
  let find: Find | null = null;
  const done = (): Fuzzed => ({ executions, covered: coverage.size, corpus: kept, find });
  const tried = async (input: Uint8Array): Promise<boolean> => {
    executions += 1;
    find = await timed(target, input);
    // A machine that was busy is not a slow input.
    if (find?.error instanceof Slow) find = await timed(target, input);
    return find === null;
  };
  const keepNews = async (inputs: readonly Uint8Array[]): Promise<boolean> => {
    for (const input of inputs) {
      if (!(await tried(input))) return false;
      if (coverage.take() > 0) kept.push(input);
    }
    return true;
  };
  // The shortest first, so that longer ones are kept for what they add.
  const given = [...target.seeds(), ...corpus].sort((one, other) => one.length - other.length);
  if (!(await keepNews(given))) return done();
  const until = performance.now() + seconds * 1_000;
  let told = performance.now();
  while (performance.now() < until) {
    const batch = Array.from({ length: BATCH }, () => mutate(random.one(kept.length > 0 ? kept : given) ?? new Uint8Array(), random, words, kept, target.bytesMax));
    const known = coverage.size;
    for (const input of batch) if (!(await tried(input))) return done();
    if (coverage.peek() > 0 && !(await keepNews(batch))) return done();
    if (performance.now() - told > PROGRESS_MS) {
      told = performance.now();
      onProgress?.(`#${executions} cov: ${coverage.size} (+${coverage.size - known}) corp: ${kept.length}`);
    }
  }
  return done();
}

/** As few of these as have between them everything that all have. */
export async function minimised(target: Target, coverage: Coverage, inputs: readonly Uint8Array[]): Promise<Uint8Array[]> {
  const { corpus } = await fuzz(target, coverage, { seconds: 0, seed: 1, corpus: inputs });
  return [...corpus];
}
