/** Hosts of a lab that are far from each other: between any two of them is a line of the relay's. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Undoing } from '../../helpers/cluster.js';
import { Lab } from '../hosts/lab.js';
import type { LineSettings } from './lines.js';
import { type RelayCounts, type RelaySettings, VXLAN_PORT } from './wire.js';
import { macOf } from './packet.js';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const NETWORK = '10.198.0';
const RELAY = 'relay';
const TUNNEL = 7;
/** Below what the wires take, by what the tunnel adds. */
const PACKET_BYTES_MAX = 1400;

export class FarLab {
  readonly #relay: ChildProcess;

  private constructor(
    readonly lab: Lab,
    /** Those that are far; the relay is not among them. */
    readonly ids: readonly string[],
  ) {
    const [execPath = '', ...before] = lab.within(RELAY);
    this.#relay = fork(MAIN, { execPath, execArgv: [...before, process.execPath, `--import=${import.meta.resolve('tsx')}`], stdio: ['ignore', 2, 2, 'ipc'] });
  }

  static async set(t: Undoing, ids: readonly string[], line: (from: string, to: string) => LineSettings, seed = 1): Promise<FarLab> {
    const lab = Lab.set(t, [...ids, RELAY]);
    const far = new FarLab(lab, ids);
    t.teardown(() => far.#relay.kill());
    for (const id of ids) {
      const others = ids.filter((other) => other !== id);
      lab.ip(id, [
        `link add far type vxlan id ${TUNNEL} remote ${lab.address(RELAY)} dstport ${VXLAN_PORT} nolearning dev eth0`,
        // One packet is one datagram: nothing is put together that the relay would have to take apart.
        `link set dev far address ${macOf(lab.number(id))} mtu ${PACKET_BYTES_MAX} gso_max_segs 1 up`,
        `address add ${far.address(id)}/24 dev far`,
        ...others.map((other) => `neigh add ${far.address(other)} lladdr ${macOf(lab.number(other))} dev far nud permanent`),
      ]);
    }
    await once(far.#relay, 'message');
    await far.change(line, seed);
    return far;
  }

  address(id: string): string {
    return `${NETWORK}.${this.lab.number(id)}`;
  }

  within(id: string): readonly string[] {
    return this.lab.within(id);
  }

  /** Other lines from now on; what is under way comes as it was to. Answers what has passed through those before. */
  change(line: (from: string, to: string) => LineSettings, seed = 1): Promise<RelayCounts> {
    // Numbers of hosts begin with 1.
    const numbered = ['', ...this.ids];
    const lines = numbered.map((from) => numbered.map((to) => (from === '' || to === '' || from === to ? null : line(from, to))));
    return this.#ask({ addresses: numbered.map((id) => (id === '' ? '' : this.lab.address(id))), lines, seed });
  }

  /** Packets since the lines were last set. */
  counts(): Promise<RelayCounts> {
    return this.#ask(null);
  }

  async #ask(message: RelaySettings | null): Promise<RelayCounts> {
    const answer = once(this.#relay, 'message') as Promise<[RelayCounts]>;
    this.#relay.send({ settings: message });
    return (await answer)[0];
  }
}
