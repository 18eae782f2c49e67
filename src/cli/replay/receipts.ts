import { closeSync, openSync, writeSync } from 'node:fs';
import type { Receipt } from '../../contracts/index.js';
import { CoordinatorError } from '../../errors/index.js';
import { receiptToJson } from '../../events/index.js';

/** Receipts as JSON lines, each handed to the system before the next event goes out: a killed replay loses none. */
export class ReceiptFile {
  readonly #descriptor: number;

  constructor(readonly path: string) {
    try {
      this.#descriptor = openSync(path, 'w');
    } catch (error) {
      throw new CoordinatorError('USAGE', `the receipts file ${path} cannot be written: ${(error as Error).message}`, { cause: error });
    }
  }

  write(receipt: Receipt): void {
    writeSync(this.#descriptor, `${JSON.stringify(receiptToJson(receipt))}\n`);
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
