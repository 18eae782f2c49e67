/** Hosts in network namespaces, for the time of a measurement. */
import { Lab } from '../test/support/hosts/lab.js';
import { FarLab } from '../test/support/relay/far.js';
import type { LineSettings } from '../test/support/relay/lines.js';
import type { Place } from './cluster.js';

export { missing } from '../test/support/hosts/tools.js';

type Undo = () => void | Promise<void>;

/** Runs `work` with what is torn down afterwards, last things first. */
async function undone<T>(work: (undoing: { teardown(fn: Undo): void }) => Promise<T>): Promise<T> {
  const undo: Undo[] = [];
  try {
    return await work({ teardown: (fn) => void undo.push(fn) });
  } finally {
    for (const fn of undo.reverse()) await fn();
  }
}

const placesOf = (ids: readonly string[], of: { address(id: string): string; within(id: string): readonly string[] }): ReadonlyMap<string, Place> =>
  new Map(ids.map((id) => [id, { address: of.address(id), within: of.within(id) }]));

/** Hosts on one switch. */
export function onHosts<T>(ids: readonly string[], work: (lab: Lab, places: ReadonlyMap<string, Place>) => Promise<T>): Promise<T> {
  return undone((undoing) => {
    const lab = Lab.set(undoing, ids);
    return work(lab, placesOf(ids, lab));
  });
}

/** Hosts that are far from each other. */
export function onFarHosts<T>(ids: readonly string[], line: (from: string, to: string) => LineSettings, work: (far: FarLab, places: ReadonlyMap<string, Place>) => Promise<T>): Promise<T> {
  return undone(async (undoing) => {
    const far = await FarLab.set(undoing, ids, line);
    return work(far, placesOf(ids, far));
  });
}
