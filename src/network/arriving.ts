import type { Arrival } from './transport.js';

interface ArrivingPorts {
  onTimeout(): void;
  /** Once, whichever way it ends. */
  onEnd(): void;
}

/** A connection that has not opened yet, among the handshakes: it has as long as one, and may be dropped like one. */
export class Arriving {
  readonly #arrival: Arrival;
  readonly #ports: ArrivingPorts;
  readonly #untilMs: number;
  readonly #timer: NodeJS.Timeout;
  #ended = false;

  constructor(arrival: Arrival, timeoutMs: number, ports: ArrivingPorts) {
    this.#arrival = arrival;
    this.#ports = ports;
    this.#untilMs = performance.now() + timeoutMs;
    this.#timer = setTimeout(() => {
      ports.onTimeout();
      this.drop();
    }, timeoutMs);
  }

  /** It has opened, or is gone. Answers how much of its time is left, in ms. */
  end(): number {
    if (!this.#ended) {
      this.#ended = true;
      clearTimeout(this.#timer);
      this.#ports.onEnd();
    }
    return Math.max(0, this.#untilMs - performance.now());
  }

  /** Closes the connection at once. Twice does no harm. */
  drop(_reason?: string): void {
    this.end();
    this.#arrival.destroy();
  }
}
