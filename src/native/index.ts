export type { NativeGroup, NativeLane, NativeLink, NativeStatus, OpenOptions } from './addon.js';
export type { CausalOrigin } from './addon.js';
export {
  CAUSAL_GROUP,
  causalActor,
  causalFetch,
  causalLacksStates,
  causalLatest,
  causalOldest,
  causalOrigins,
  causalReaches,
  causalStatus,
  causalWantsStates,
  NativeCausalReader,
  NativeStatesWriter,
  takeCausalStates,
} from './causal.js';
export { CODECS, type Codec, compress, compressApart, decompress, decompressApart } from './compression.js';
export { CLOCK_RELATION, compareClocks, mergeClocks, NativeCrdt } from './crdt.js';
export { Core, raftId, TAKEN } from './core.js';
export { type ConsumerPlace, END, type End, EVENT_OUTCOME, type EventOutcome, type KeptEvent } from './ends.js';
export { FilterHandle, firstMatches } from './filter.js';
export { inspectSnapshot, lookAtDirectory, recoverDirectory, restoreSnapshots } from './offline.js';
export { keepSettings, restoredGroupsOf, windowOf } from './settings.js';
export { packMemberCommand } from './member-command.js';

/** Module that a network Worker loads to reach an open core. */
export const PEER_CORE_MODULE = new URL('./peer-core.js', import.meta.url);
export { scanLog } from './scan.js';
