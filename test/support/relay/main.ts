/**
 * The process that lines between far hosts go through: each host's VXLAN interface has it for its only neighbour, so that whole
 * packets pass here, of whatever protocol, and what is lost is what the kernels' own TCP has to send again.
 */
import { createSocket } from 'node:dgram';
import { Line } from './lines.js';
import { endsOf, sum } from './packet.js';
import { DueQueue } from './queue.js';
import { type RelayCounts, type RelayRequest, type RelaySettings, VXLAN_PORT } from './wire.js';

/** As much as a kernel lets a socket have without being asked for more. */
const RECEIVE_BYTES = 4 * 1024 * 1024;
/** A timer is a millisecond late as often as not: what is due within half of one goes now. */
const EARLY_MS = 0.5;

const counts = (): RelayCounts => {
  const all = lines.flat().filter((line) => line !== null);
  return { passed: all.reduce((sum, { passed }) => sum + passed, 0), lost: all.reduce((sum, { lost }) => sum + lost, 0) };
};

let settings: RelaySettings | null = null;
let lines: (Line | null)[][] = [];
const queue = new DueQueue<{ readonly datagram: Buffer; readonly to: string }>();
let timer: NodeJS.Timeout | null = null;
let timerMs = Number.POSITIVE_INFINITY;

const socket = createSocket({ type: 'udp4', recvBufferSize: RECEIVE_BYTES, sendBufferSize: RECEIVE_BYTES });
socket.on('message', (datagram) => {
  const ends = endsOf(datagram);
  const address = ends === null ? undefined : settings?.addresses[ends.to];
  const line = ends === null ? undefined : lines[ends.from]?.[ends.to];
  if (address === undefined || line === undefined || line === null) return;
  const dueMs = line.due(performance.now());
  if (dueMs === null) return;
  sum(datagram);
  queue.add(dueMs, { datagram, to: address });
  drain();
});

function drain(): void {
  while (queue.nextMs <= performance.now() + EARLY_MS) {
    const next = queue.take();
    if (next !== null) socket.send(next.datagram, VXLAN_PORT, next.to);
  }
  if (queue.nextMs === timerMs) return;
  if (timer !== null) clearTimeout(timer);
  timer = null;
  timerMs = queue.nextMs;
  if (timerMs !== Number.POSITIVE_INFINITY) {
    timer = setTimeout(() => {
      timerMs = Number.POSITIVE_INFINITY;
      drain();
    }, timerMs - performance.now());
  }
}

process.on('message', ({ settings: changed }: RelayRequest) => {
  process.send?.(counts());
  if (changed === null) return;
  settings = changed;
  const hosts = changed.addresses.length;
  lines = changed.lines.map((row, from) => row.map((line, to) => (line === null ? null : new Line(line, changed.seed + from * hosts + to))));
});
process.on('disconnect', () => process.exit(0));
socket.bind(VXLAN_PORT, () => process.send?.(counts()));
