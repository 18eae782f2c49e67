import assert from 'node:assert/strict';
import { ERROR_CODES } from '../../dist/errors/codes.js';
import { CoordinatorError } from '../../dist/errors/index.js';

/** What came of it, or null where it was refused by an error of ours with one of these codes, or any. */
export function refusable<T>(run: () => T, codes?: readonly string[]): T | null {
  try {
    return run();
  } catch (error) {
    expectRefusal(error, codes);
    return null;
  }
}

export async function refusableLater<T>(run: () => Promise<T>, codes?: readonly string[]): Promise<T | null> {
  try {
    return await run();
  } catch (error) {
    expectRefusal(error, codes);
    return null;
  }
}

function expectRefusal(error: unknown, codes?: readonly string[]): void {
  if (!(error instanceof CoordinatorError)) throw error;
  assert.ok(Object.hasOwn(ERROR_CODES, error.code), `${error.code} is no code of ours`);
  if (codes !== undefined) assert.ok(codes.includes(error.code), `${error.code}: ${error.message}`);
  assert.notEqual(error.code, 'INTERNAL', error.message);
  assert.ok(error.message.length < 16_384, `a sentence of ${error.message.length} characters`);
}

export const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');
export const bytes = (...texts: string[]): Uint8Array[] => texts.map((one) => Buffer.from(one));
