import { machineOf } from '../network/index.js';

/** Machines whose refusal is remembered as told. */
const REMEMBERED_MAX = 256;

/** Tells of refusals once for each machine; they are news again once one of its connections was let in. */
export class Told {
  readonly #machines = new Set<string>();

  constructor(private readonly warn: (message: string) => void) {}

  tell(remote: string, what: string): void {
    const machine = machineOf(remote);
    if (this.#machines.has(machine)) return;
    if (this.#machines.size >= REMEMBERED_MAX) this.#machines.clear();
    this.#machines.add(machine);
    this.warn(`the API refused ${what}`);
  }

  forget(remote: string): void {
    this.#machines.delete(machineOf(remote));
  }
}
