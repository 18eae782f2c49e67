/** What a replica holds in memory, in bytes: on JavaScript's heap and outside it. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

export function heldBy<T>(make: () => T): { readonly made: T; readonly bytes: number } {
  const held = (): number => {
    collect();
    collect();
    return process.memoryUsage.rss();
  };
  const before = held();
  const made = make();
  return { made, bytes: held() - before };
}
