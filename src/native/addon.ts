/** The addon, loaded once per thread; every thread's copy shares the process's one core. */
import { createRequire } from 'node:module';
import { CoordinatorError } from '../errors/index.js';
import type * as Addon from '../../native/binding/dist/index.js';

export type { CausalOrigin, NativeGroup, NativeGroupSummary, NativeLane, NativeLink, NativePart, NativeSnapshot, NativeStates, NativeStatus, NativeTableMember, OpenedNode, OpenOptions, RecoverOptions, RestoreOptions } from '../../native/binding/dist/index.js';

let loaded: typeof Addon | null = null;

/** Throws `NODE_FAILED` with the way out where there is no addon for this platform. */
export function addon(): typeof Addon {
  if (loaded === null) {
    const require = createRequire(import.meta.url);
    try {
      loaded = require('../../native/binding/dist/index.cjs') as typeof Addon;
    } catch (cause) {
      const platform = `${process.platform}-${process.arch}`;
      throw new CoordinatorError('NODE_FAILED', `the native part is missing for ${platform}; build it with "npm run build:native"`, { cause });
    }
  }
  return loaded;
}
