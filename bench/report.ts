/** Collects figures and writes them as a table, as JSON lines or as Markdown. */
import { median } from './samples.js';
import { met, PEERS, TARGETS } from './targets.js';

export type Unit = 'ms' | 'us' | 'events/s' | 'bytes' | 'bytes/s' | 'count' | 'ratio';

export interface Figure {
  readonly suite: string;
  readonly figure: string;
  readonly value: number;
  readonly unit: Unit;
  /** Least and greatest of the rounds that `value` is the median of; absent where there was one. */
  readonly min?: number;
  readonly max?: number;
  readonly rounds?: number;
}

const DIGITS = 4;
const rounded = (value: number): number => Number(value.toPrecision(DIGITS));
const shown = (value: number): string => (Number.isFinite(value) ? rounded(value).toLocaleString('en-US', { maximumSignificantDigits: DIGITS }) : '-');

export class Report {
  readonly figures: Figure[] = [];

  add(suite: string, figure: string, value: number, unit: Unit): void {
    this.figures.push({ suite, figure, value, unit });
  }

  /** The median of what the rounds came to. */
  addRounds(suite: string, figure: string, values: readonly number[], unit: Unit): void {
    if (values.length === 1) this.add(suite, figure, values[0] as number, unit);
    else this.figures.push({ suite, figure, value: median(values), unit, min: Math.min(...values), max: Math.max(...values), rounds: values.length });
  }

  /** One JSON object a line. */
  json(): string {
    const lines = this.figures.map(({ suite, figure, value, unit, min, max, rounds }) => {
      const spread = min === undefined || max === undefined ? {} : { min: rounded(min), max: rounded(max), rounds };
      return JSON.stringify({ suite, figure, value: rounded(value), unit, ...spread });
    });
    return `${lines.join('\n')}\n`;
  }

  table(notes: readonly string[]): string {
    const rows = [['figure', 'value', 'unit', 'rounds (least to greatest)', 'target'], ...this.figures.map(row)];
    const widths = rows[0]!.map((_, column) => Math.max(...rows.map((cells) => cells[column]!.length)));
    const line = (cells: readonly string[]) =>
      cells
        .map((cell, column) => (column === 1 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
        .join('  ')
        .trimEnd();
    const ruled = [line(rows[0]!), widths.map((width) => '-'.repeat(width)).join('  ')];
    let suite = '';
    this.figures.forEach((figure, at) => {
      if (figure.suite !== suite) ruled.push('');
      suite = figure.suite;
      ruled.push(line(rows[at + 1]!));
    });
    return `${[...ruled, '', ...notes, ...PEERS].join('\n')}\n`;
  }

  markdown(notes: readonly string[]): string {
    const cells = (values: readonly string[]) => `| ${values.join(' | ')} |`;
    const lines = [cells(['figure', 'value', 'unit', 'rounds (least to greatest)', 'target']), '|---|---:|---|---|---|'];
    for (const figure of this.figures) lines.push(cells(row(figure)));
    return `${[...lines, '', ...notes.map((note) => `- ${note}`), `- ${PEERS.join(' ')}`].join('\n')}\n`;
  }
}

function row({ figure, value, unit, min, max, rounds }: Figure): string[] {
  const spread = rounds === undefined ? '' : `${rounds} (${shown(min ?? value)} to ${shown(max ?? value)})`;
  const target = TARGETS[figure];
  const held = target === undefined ? '' : `${target.at === 'most' ? '<=' : '>='} ${shown(target.value)}: ${met(figure, value) ? 'met' : 'MISSED'}`;
  return [figure, shown(value), unit, spread, held];
}
