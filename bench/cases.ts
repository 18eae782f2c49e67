/** Small operations timed by benny, which finds out how often to repeat each. */
import { add, suite } from 'benny';

export interface Case {
  readonly name: string;
  /** One operation; a promise is awaited. */
  run(): unknown;
}

/** Median microseconds of each, in order; `maxTimeS`: seconds spent on each at most. */
export async function timeCases(title: string, maxTimeS: number, cases: readonly Case[]): Promise<{ readonly name: string; readonly us: number }[]> {
  // benny announces on the standard output, which is for figures.
  const log = console.log;
  console.log = console.error;
  try {
    const { results } = await suite(title, ...cases.map(({ name, run }) => add(name, () => run(), { minTime: maxTimeS / 10, maxTime: maxTimeS })));
    return results.map(({ name, details }) => ({ name, us: details.median * 1e6 }));
  } finally {
    console.log = log;
  }
}
