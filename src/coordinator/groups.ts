/** The ordered groups of a node (rule R9). */
import { CoordinatorError } from '../errors/index.js';

/** The group that a call names, 0 when it names none. Throws `GROUP_UNKNOWN`, which says what is allowed. */
export function groupOf(named: number | undefined, groups: number): number {
  const group = named ?? 0;
  if (Number.isInteger(group) && group >= 0 && group < groups) return group;
  const allowed = groups === 1 ? '0 is the only one' : `0 to ${groups - 1} are allowed`;
  throw new CoordinatorError('GROUP_UNKNOWN', `group ${group} does not exist; ${allowed}`, { details: { group, groups } });
}
