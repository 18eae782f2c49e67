/** What passes between the relay's process and its parent. */
import type { LineSettings } from './lines.js';

export const VXLAN_PORT = 4789;

export interface RelaySettings {
  /** Where each host's end of the tunnel is, by its number. */
  readonly addresses: readonly string[];
  /** `lines[from][to]`, by the numbers of hosts. */
  readonly lines: readonly (readonly (LineSettings | null)[])[];
  readonly seed: number;
}

/** `settings` are null where only the counts are asked for. */
export interface RelayRequest {
  readonly settings: RelaySettings | null;
}

/** Packets since the lines were last set: once it listens, and in answer to each request. */
export interface RelayCounts {
  readonly passed: number;
  readonly lost: number;
}
