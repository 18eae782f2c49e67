import type { JsonValue } from '../../contracts/index.js';
import { CoordinatorError } from '../../errors/index.js';
import { jsonOf } from '../../events/index.js';
import { table } from '../output.js';
import type { Verdict } from './verify.js';

/** The verdict in words and columns. */
export function describeVerdict(verdict: Verdict): string {
  const rows = verdict.members.map((member) => [
    member.nodeId,
    String(member.group),
    member.state,
    String(member.commitIndex),
    String(member.lastIndex),
    String(member.events),
    member.applyHash,
  ]);
  const lines = [table(rows, ['node', 'group', 'journal', 'commit', 'last', 'events', 'hash'])];
  if (verdict.receipts !== null) {
    const { checked, missing, released, ofOtherLanes } = verdict.receipts;
    lines.push(`${checked} acknowledged events looked up, ${missing === 0 ? 'none missing' : `${missing} not found`}${released === 0 ? '' : `; ${released} lie before the beginning of every journal, or in its gaps`}.`);
    if (ofOtherLanes > 0) lines.push(`${ofOtherLanes} receipts of other lanes than the ordered one were passed over: journals say nothing of their events.`);
  }
  for (const { nodeId, group, gaps } of verdict.members) {
    for (const { firstIndex, lastIndex } of gaps) {
      lines.push(`Gap: the journal of ${nodeId} lacks the entries ${firstIndex} to ${lastIndex} of group ${group}, which a snapshot stands for; it asks the others for them when it runs.`);
    }
  }
  for (const { message } of verdict.problems) lines.push(`Problem: ${message}.`);
  if (verdict.problemCount > verdict.problems.length) lines.push(`${verdict.problemCount - verdict.problems.length} more problems like these.`);
  return lines.join('\n');
}

export const verdictToJson = (verdict: Verdict): JsonValue => jsonOf(verdict);

/** `VERIFY_FAILED` with the first problem, or null. */
export function verdictError(verdict: Verdict): CoordinatorError | null {
  const [first] = verdict.problems;
  if (first === undefined) return null;
  const more = verdict.problemCount > 1 ? ` (and ${verdict.problemCount - 1} more)` : '';
  return new CoordinatorError('VERIFY_FAILED', `${first.message}${more}`, { details: { problems: verdict.problemCount } });
}
