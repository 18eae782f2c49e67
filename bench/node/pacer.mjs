// Says when the next publish is due. A timer of the event loop is up to a millisecond late and busy waiting takes a whole processor from
// the nodes; a thread that sleeps in between does neither.
import { parentPort, workerData } from 'node:worker_threads';

const { intervalMs, durationMs, stop } = workerData;
const cell = new Int32Array(stop);
/** The clock that all threads share; each thread's `performance.now()` has an origin of its own. */
const nowMs = () => Number(process.hrtime.bigint()) / 1e6;
const began = nowMs();
for (let tick = 0; Atomics.load(cell, 0) === 0; tick++) {
  const due = tick * intervalMs;
  if (durationMs > 0 && due >= durationMs) break;
  const waitMs = began + due - nowMs();
  if (waitMs > 0) Atomics.wait(cell, 0, 0, waitMs);
  if (Atomics.load(cell, 0) !== 0) break;
  parentPort?.postMessage(began + due);
}
