/** What a serving node logs of itself while it runs: refusals between it and its peers, changes of its health, of its certificates and of its tokens. */
import type { Logger } from 'pino';
import type { Status } from '../../contracts/index.js';
import type { FilesChange } from '../../coordinator/index.js';
import { machineOf, type Refused } from '../../network/index.js';

const LOOK_MS = 1_000;
/** Refusals that are remembered as logged; whoever invents more names is logged again. */
const REMEMBERED_MAX = 256;

export interface Watched {
  on(event: 'refused', listener: (refused: Refused) => void): unknown;
  on(event: 'certificates' | 'tokens', listener: (change: FilesChange) => void): unknown;
  status(): Status;
}

/** Logs from now on; the function that is returned ends it. */
export function watch(node: Watched, logger: Logger): () => void {
  const logged = new Set<string>();
  node.on('refused', (refused) => {
    const { direction, peer, remote, code, reason } = refused;
    // Who never said who it is, is told from others by its machine.
    const once = `${direction} ${code} ${peer ?? machineOf(remote)}`;
    if (logged.has(once)) return;
    if (logged.size >= REMEMBERED_MAX) logged.clear();
    logged.add(once);
    const who = direction === 'inbound' ? 'refused a connection' : 'its connection was refused';
    logger.warn({ peer, remote, code }, `${who}: ${code}: ${reason}`);
  });

  const logChange = ({ state, sentence }: FilesChange): void => {
    if (state === 'refused') logger.error(sentence);
    else logger.info(sentence);
  };
  node.on('certificates', logChange);
  node.on('tokens', logChange);

  let state: Status['health']['state'] = 'ok';
  const look = (): void => {
    const { health } = node.status();
    if (health.state === state) return;
    state = health.state;
    // What is refused after a time without trouble is news again.
    if (state === 'ok') logged.clear();
    const line = `health is ${state}${health.reasons.length === 0 ? '' : `: ${health.reasons.join('; ')}`}`;
    if (state === 'ok') logger.info(line);
    else if (state === 'degraded') logger.warn(line);
    else logger.error(line);
  };
  const timer = setInterval(look, LOOK_MS).unref();
  return () => clearInterval(timer);
}
