import type { Where } from './coordinator.js';

/** Who holds what matches, besides the voters and whoever wrote it. The first rule that matches an event decides. */
export interface ReplicationRule {
  readonly name: string;
  /** Every event when absent. `priority`: any of these. */
  readonly match?: Where & { readonly priority?: number | readonly number[] };
  /** Node ids, and regions of the same table. */
  readonly holders: { readonly nodes?: readonly string[]; readonly regions?: readonly string[] };
}

export interface ReplicationRules {
  /** Node ids of each region. */
  readonly regions?: { readonly [region: string]: readonly string[] };
  /** None: every member holds everything. */
  readonly rules: readonly ReplicationRule[];
}

/** The rules as agreed on. */
export interface AgreedReplication extends Required<ReplicationRules> {
  /** Index of the entry of group 0 that set them; 0 where none has. */
  readonly version: bigint;
}
