import { Presets, SingleBar } from 'cli-progress';

const LINE_INTERVAL_MS = 5000;

/** How far something is, on stderr: a bar on a terminal, otherwise a line every five seconds or ten per cent. */
export interface Progress {
  update(done: number): void;
  /** A remark above the bar, or a line of its own. */
  note(text: string): void;
  stop(): void;
}

export function progress(label: string, total: number): Progress {
  return process.stderr.isTTY ? new Bar(label, total) : new Lines(label, total);
}

class Bar implements Progress {
  readonly #bar: SingleBar;
  #shownMs = 0;

  constructor(label: string, total: number) {
    this.#bar = new SingleBar(
      { format: `${label} {bar} {percentage} % | {value} of {total} | {duration_formatted}`, stream: process.stderr, hideCursor: true, clearOnComplete: false },
      Presets.shades_classic,
    );
    this.#bar.start(total, 0);
  }

  update(done: number): void {
    // The bar costs more than an event: twenty times a second is enough for the eye.
    const nowMs = performance.now();
    if (nowMs - this.#shownMs < 50 && done < this.#bar.getTotal()) return;
    this.#shownMs = nowMs;
    this.#bar.update(done);
  }

  note(text: string): void {
    process.stderr.write(`\r\u001b[K${text}\n`);
    this.#bar.render();
  }

  stop(): void {
    this.#bar.stop();
  }
}

class Lines implements Progress {
  #lastMs = performance.now();
  #lastTenth = 0;

  constructor(
    private readonly label: string,
    private readonly total: number,
  ) {}

  update(done: number): void {
    const tenth = this.total > 0 ? Math.floor((done * 10) / this.total) : 0;
    const nowMs = performance.now();
    if (tenth === this.#lastTenth && nowMs - this.#lastMs < LINE_INTERVAL_MS) return;
    this.#lastTenth = tenth;
    this.#lastMs = nowMs;
    this.note(`${this.label} ${done} of ${this.total} (${this.total > 0 ? Math.floor((done * 100) / this.total) : 100} %)`);
  }

  note(text: string): void {
    process.stderr.write(`${text}\n`);
  }

  stop(): void {}
}
