import type { Options } from './options.js';
import type { Report } from './report.js';

/** What a suite works with. */
export interface Context {
  readonly options: Options;
  readonly report: Report;
  /** A line for whoever waits. */
  progress(line: string): void;
}

export interface Suite {
  readonly name: string;
  /** One line for the help. */
  readonly summary: string;
  run(context: Context): Promise<void>;
}
