/** One target, for so many seconds, or over files; called by `scripts/fuzz.mjs`. */
import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Coverage } from './coverage.js';
import { fuzz, minimised, once } from './engine.js';
import { inputsIn, KEPT, keep } from './kept.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' }, corpus: { type: 'string' }, artifacts: { type: 'string' }, minimise: { type: 'boolean', default: false }, list: { type: 'boolean', default: false } },
});

async function main(): Promise<number> {
  const coverage = new Coverage();
  const { TARGETS } = await import('./targets/index.js');
  if (values.list) {
    for (const { name, reads } of TARGETS) console.log(`${name}\t${reads}`);
    return 0;
  }
  const [name, ...files] = positionals;
  const target = TARGETS.find((one) => one.name === name);
  if (target === undefined) {
    console.error(`USAGE: there is no target ${name}`);
    return 2;
  }
  const report = (error: unknown, path: string): number => {
    console.error(error);
    console.error(`${target.name} does not hold: npm run fuzz -- ${target.name} ${path}`);
    return 1;
  };
  for (const file of files.filter((path) => statSync(path).isFile())) {
    const find = await once(target, readFileSync(file));
    if (find !== null) return report(find.error, file);
  }
  if (files.length > 0) return 0;
  const [corpus, artifacts] = [values.corpus ?? join(KEPT, '..', 'corpus', target.name), values.artifacts ?? join(KEPT, '..', 'artifacts', target.name)];
  const kept = join(KEPT, target.name);
  const inputs = [...inputsIn(kept), ...inputsIn(corpus)].map(({ bytes }) => bytes);
  if (values.minimise) {
    const few = await minimised(target, coverage, inputs);
    rmSync(kept, { recursive: true, force: true });
    for (const input of few) keep(kept, input);
    console.error(`${target.name}: ${few.length} of ${inputs.length} inputs are kept`);
    return 0;
  }
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  console.error(`INFO: Seed: ${seed}`);
  const fuzzed = await fuzz(target, coverage, { seconds: Number(values.seconds), seed, corpus: inputs, onProgress: (line) => console.error(line) });
  for (const input of fuzzed.corpus) keep(corpus, input);
  console.error(`#${fuzzed.executions} DONE cov: ${fuzzed.covered} corp: ${fuzzed.corpus.length}`);
  return fuzzed.find === null ? 0 : report(fuzzed.find.error, keep(artifacts, fuzzed.find.input, 'crash-'));
}

process.exitCode = await main();
