import { jsonOf } from '../../events/index.js';
import type { JsonValue } from '../../contracts/index.js';
import { facts } from '../output.js';
import { latencyRows } from '../replay/report.js';
import { describeVerdict } from '../verify/report.js';
import type { DemonstrationResult } from './demonstration.js';
import type { Member } from './member.js';

export function describeResult({ replay, failover, verdict, error }: DemonstrationResult): string {
  const figures = facts([
    ['events', String(replay.events)],
    ['events/s', String(replay.eventsPerSecond)],
    ...latencyRows(replay),
    ['failover gap', `${failover.failoverGapMs} ms after SIGKILL of the leader, ${failover.killed}`],
    ['catch-up', `${failover.catchUpMs} ms from the start of the new process`],
    ['retries', String(replay.retries)],
  ]);
  const sentence =
    error === null
      ? 'Verdict: the three journals are equal, no acknowledged event is missing, none is there twice.'
      : `Verdict: failed. ${error.message}`;
  return `${figures}\n\n${describeVerdict(verdict)}\n${sentence}`;
}

export function resultToJson({ replay, failover, verdict, error, directory }: DemonstrationResult, kept: readonly Member[]): JsonValue {
  return jsonOf({
    ok: error === null,
    ...replay,
    ...failover,
    verdict,
    directory: kept.length > 0 ? directory : null,
    nodes: kept.map(({ id, pid, settings }) => ({ nodeId: id, pid, api: settings.api, listen: settings.listen, dataDir: settings.dataDir })),
  });
}

/** How to reach and how to stop a cluster that was left up. */
export function describeKept(members: readonly Member[], receiptsFile: string): string {
  const [one] = members;
  const api = one?.settings.api ?? '';
  return [
    'The cluster is still up:',
    ...members.map(({ id, pid, settings }) => `  ${id}  API ${settings.api}  process ${pid}  data ${settings.dataDir}`),
    'Try:',
    `  npx vexcoord status --api ${api}`,
    `  npx vexcoord subscribe --api ${api} --from first --count 5`,
    `  echo '{"type": "FilesystemCreate", "path": "/hello"}' | npx vexcoord publish --api ${members.map(({ settings }) => settings.api).join(',')}`,
    'Stop and check it with:',
    `  kill ${members.map(({ pid }) => pid).join(' ')}`,
    `  npx vexcoord log verify ${members.map(({ settings }) => `--data-dir ${settings.dataDir}`).join(' ')} --receipts ${receiptsFile}`,
  ].join('\n');
}
