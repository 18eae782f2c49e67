/** What must be true of a cluster on hosts, whatever its network did. */
import type { ExecutionContext } from 'ava';
import type { Status } from '../../../dist/index.js';
import { agreed, checkJournals, until } from '../../helpers/cluster.js';
import type { NodeProcess, PlainReceipt, ProcessCluster } from '../../helpers/node-process.js';

/** Waits until all are equal and healthy. */
export async function checkHealthy(cluster: ProcessCluster): Promise<void> {
  await cluster.leader();
  await cluster.equal();
  await until('healthy members', async () => (await cluster.statuses()).every(({ health, members }) => health.state === 'ok' && members.every((member) => member.health === 'ok')));
}

/** And every acknowledged event is in every journal once, at its place. */
export async function checkWhole(t: ExecutionContext, cluster: ProcessCluster, receipts: readonly PlainReceipt[]): Promise<void> {
  await checkHealthy(cluster);
  checkJournals(t, await cluster.journals(), receipts);
}

/** The leader of those who are named, once all of them agree on one of them. */
export async function leaderAmong(members: readonly NodeProcess[]): Promise<NodeProcess> {
  let id: string | null = null;
  await until('a leader among them', async () => {
    id = agreed(await Promise.all(members.map((member) => member.status())));
    return id !== null;
  });
  return members.find((member) => member.id === id)!;
}

/** The highest term that any of them knows. */
export async function termOf(cluster: ProcessCluster): Promise<bigint> {
  const terms = (await cluster.statuses()).map(({ term }) => term);
  return terms.reduce((highest, term) => (term > highest ? term : highest));
}

export function counterOf({ counters }: Status, name: string): number {
  return Number(counters[name] ?? 0);
}

/** How a member stands to another one, as it says. */
export const healthOf = ({ members }: Status, id: string): string | undefined => members.find((member) => member.id === id)?.health;
