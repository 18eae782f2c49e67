/** Publishes through a relay that loses one answer in ten, tried again under the same id: every event is there exactly once. */
import { ApiClient, OrderedPublisher, RoundRobinPublisher } from '../../dist/api/index.js';
import { freePorts } from '../../dist/cli/demo/ports.js';
import { CoordinatorError } from '../../dist/errors/index.js';
import type { Receipt } from '../../dist/index.js';
import { fileWrite, isBefore, Plan } from '../helpers/cluster.js';
import { ProcessCluster } from '../helpers/node-process.js';
import { type Context, type Figures, must } from './context.js';
import { Ledger } from './ledger.js';
import { LossyProxy } from './proxy.js';
import { Random } from './random.js';

export interface LostAnswersSizes {
  readonly publishes: number;
}

const LOST_SHARE = 0.1;
/** Clients with connections of their own, one call after the other: a lost answer takes no other with it. */
const CALLERS = 24;
/** Clients with many events on their way in one stream; a tenth of the events goes through them. */
const STREAMS = 2;
const STREAM_SHARE = 0.1;
const TIMEOUT_MS = 60_000;
const PAYLOAD_BYTES = 200;
const SHOWN_EVERY = 10_000;

export async function lostAnswers(context: Context, { publishes }: LostAnswersSizes): Promise<Figures> {
  const cluster = await ProcessCluster.open(context, await Plan.serving(context.directory));
  await cluster.leader();
  const { plan } = cluster;
  const random = new Random(context.seed);
  const ports = await freePorts(plan.ids.length);
  const proxies = await Promise.all(plan.ids.map((id, at) => LossyProxy.start(ports[at] as number, plan.apiPorts.get(id) as number, LOST_SHARE, random)));
  context.teardown(async () => {
    await Promise.all(proxies.map((proxy) => proxy.close()));
  });
  const clients: ApiClient[] = [];
  context.teardown(() => {
    for (const client of clients) client.close();
  });
  const connected = (): ApiClient[] => {
    const own = ports.map((port) => new ApiClient(`127.0.0.1:${port}`));
    clients.push(...own);
    return own;
  };

  const ledger = new Ledger();
  let retries = 0;
  const options = {
    timeoutMs: TIMEOUT_MS,
    onRetry: () => {
      retries += 1;
    },
  };
  const take = (result: Receipt | CoordinatorError): Receipt => {
    if (result instanceof CoordinatorError) throw result;
    ledger.add(result);
    if (ledger.size % SHOWN_EVERY === 0) context.progress(`${ledger.size} of ${publishes} events acknowledged, ${lost()} answers lost`);
    return result;
  };
  const lost = (): number => proxies.reduce((sum, proxy) => sum + proxy.lost, 0);
  const streamed = Math.floor(publishes * STREAM_SHARE);
  const callers = Array.from({ length: CALLERS }, async (_, caller) => {
    const publisher = new RoundRobinPublisher(connected(), options);
    for (let at = caller; at < publishes - streamed; at += CALLERS) take(await publisher.publish(fileWrite(`/${caller}/${at}`, PAYLOAD_BYTES)));
  });
  const streams = Array.from({ length: STREAMS }, async (_, stream) => {
    const publisher = new OrderedPublisher(connected(), options);
    const results: Promise<Receipt>[] = [];
    for (let at = stream; at < streamed; at += STREAMS) {
      await publisher.ready();
      const result = publisher.submit(fileWrite(`/stream/${stream}/${at}`, PAYLOAD_BYTES)).then(take);
      // Looked at below; one that fails meanwhile is not unhandled.
      result.catch(() => {});
      results.push(result);
    }
    const receipts = await Promise.all(results);
    publisher.close();
    for (const [at, receipt] of receipts.entries()) must(at === 0 || isBefore(receipts[at - 1] as Receipt, receipt), `${receipt.eventId} is not in the order it was given to its stream`);
  });
  const began = performance.now();
  await Promise.all([...callers, ...streams]);
  const seconds = (performance.now() - began) / 1000;

  must(ledger.size === publishes, `${ledger.size} of ${publishes} events have a receipt`);
  await cluster.equal();
  ledger.see(await cluster.statuses());
  await ledger.checkJournals(cluster.members);
  await cluster.stop();
  await ledger.checkFiles(plan.ids.map((id) => plan.dataDir(id)));
  const answers = proxies.reduce((sum, proxy) => sum + proxy.answers, 0);
  must(lost() > publishes / 50, `${lost()} of ${answers} answers were lost: the run shows little`);
  must(ledger.duplicates > 0, 'no retry was answered as a duplicate: the run shows nothing');
  return {
    publishes,
    'answers seen': answers,
    'answers lost': lost(),
    'attempts lost': retries,
    'answered as duplicates': ledger.duplicates,
    'events a second': Math.round(publishes / seconds),
  };
}
