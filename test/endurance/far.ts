/** Five members in three regions, over lines that lose one packet in a hundred: whoever leads stays. */
import { Plan, sleep } from '../helpers/cluster.js';
import { ProcessCluster } from '../helpers/node-process.js';
import { hostsOf } from '../support/hosts/cluster.js';
import { FarLab } from '../support/relay/far.js';
import { FAR_IDS, FAR_SETTINGS, farLine } from '../support/relay/regions.js';
import { type Context, type Figures, must } from './context.js';
import { Ledger } from './ledger.js';
import { Load } from './load.js';

export interface FarSizes {
  readonly rounds: number;
  readonly roundMs: number;
}

const LOSS = 0.01;
const QUORUM = 3;
/** Receipts after which lines and windows are as they will be. */
const FIRST_EVENTS = 20;

export async function far(context: Context, { rounds, roundMs }: FarSizes): Promise<Figures> {
  const lab = await FarLab.set(context, FAR_IDS, farLine({ loss: LOSS }), context.seed);
  const cluster = await ProcessCluster.open(context, Plan.on(context.directory, await hostsOf(lab, context.directory, true), FAR_SETTINGS));
  const ledger = new Ledger(QUORUM);
  const load = new Load(context, () => cluster.members, [], ledger, context.seed + 1, ['session', 'alone']);
  await load.more(FIRST_EVENTS);
  const leader = await cluster.leader();
  const standing = async (): Promise<string> =>
    (await cluster.statuses()).map((status) => `${status.nodeId}: ${status.leader} leads in term ${status.term}, ${status.counters['elections']} elections`).join('; ');
  const timeouts = async (): Promise<string> => (await cluster.statuses()).map(({ nodeId, groups }) => `${nodeId} ${groups[0]?.electionTimeoutMs.join(' to ')} ms`).join(', ');
  const before = await standing();
  for (let round = 1; round <= rounds; round++) {
    await sleep(roundMs);
    ledger.see(await cluster.statuses());
    const { passed, lost } = await lab.counts();
    const now = await standing();
    must(now === before, `an election: ${before} became ${now}`);
    context.progress(`round ${round} of ${rounds}: ${ledger.size} events acknowledged; ${passed} packets passed, ${lost} lost; election timeouts ${await timeouts()}`);
  }
  await load.stop();
  await cluster.equal();
  ledger.see(await cluster.statuses());
  await ledger.checkJournals(cluster.members);
  const { passed, lost } = await lab.counts();
  must(lost > 0, 'no packet was lost: the run shows nothing');
  await cluster.stop();
  await ledger.checkFiles(FAR_IDS.map((id) => cluster.plan.dataDir(id)));
  return { seconds: (rounds * roundMs) / 1000, leader: leader.id, elections: 0, 'events acknowledged': ledger.size, 'attempts lost': load.retries, 'packets passed': passed, 'packets lost': lost };
}
