import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Authority } from '../../test/fixtures/certificates.js';
import type { Address, Transport, TransportListener, TransportStream } from '../../dist/network/transport.js';
import { TRANSPORTS, type TransportKind } from '../../dist/network/transports.js';
import type { Context, Suite } from '../context.js';
import { closeRoom, openRoom } from '../rooms.js';
import { percentile, Samples } from '../samples.js';

const MESSAGE = Buffer.alloc(256, 1);
const LARGE = Buffer.alloc(64 * 1024, 1);
const BUFFER_BYTES = 256 * 1024;
const WARMUP = 200;

interface Pair {
  readonly name: string;
  readonly near: TransportStream;
  readonly far: TransportStream;
  readonly listener: TransportListener;
  readonly p50: number[];
  readonly p99: number[];
  readonly rates: number[];
}

async function open(name: string, transport: Transport, address: Address): Promise<Pair> {
  let far: TransportStream | null = null;
  const listener = await transport.listen(address, { onStream: (one) => (far = one), onArrival: () => {}, onLost: () => {}, onError: () => {} });
  const near = await new Promise<TransportStream>((resolve) => {
    const dialled = transport.dial(listener.address, BUFFER_BYTES, () => resolve(dialled));
  });
  while (far === null) await new Promise((resolve) => setImmediate(resolve));
  return { name, near, far, listener, p50: [], p99: [], rates: [] };
}

/** 256 bytes there and back, both ends on this thread. */
async function roundTrips({ near, far }: Pair, count: number): Promise<Float64Array> {
  const times = new Samples();
  const echo = (chunk: Buffer): void => void far.stream.write(chunk);
  far.stream.on('data', echo);
  let missing = 0;
  let done: () => void = () => {};
  const take = (chunk: Buffer): void => {
    missing -= chunk.length;
    if (missing === 0) done();
  };
  near.stream.on('data', take);
  for (let at = 0; at < count + WARMUP; at++) {
    const began = performance.now();
    await new Promise<void>((resolve) => {
      [missing, done] = [MESSAGE.length, resolve];
      near.stream.write(MESSAGE);
    });
    if (at >= WARMUP) times.add(performance.now() - began);
  }
  near.stream.off('data', take);
  far.stream.off('data', echo);
  return times.values();
}

/** Bytes a second one way, in writes of 64 KiB, as fast as they are taken. */
async function stream({ near, far }: Pair, ms: number): Promise<number> {
  let [received, sent] = [0, 0];
  const take = (chunk: Buffer): void => {
    received += chunk.length;
  };
  far.stream.on('data', take);
  const began = performance.now();
  while (performance.now() - began < ms) {
    sent += LARGE.length;
    if (!near.stream.write(LARGE)) await new Promise((resolve) => near.stream.once('drain', resolve));
  }
  while (received < sent) await new Promise((resolve) => setImmediate(resolve));
  const took = performance.now() - began;
  far.stream.off('data', take);
  return received / (took / 1000);
}

async function measure({ options, report, progress }: Context, directory: string): Promise<void> {
  const credentials = await (await Authority.new()).credentials('a');
  const addresses: Record<TransportKind, () => Address> = {
    tcp: () => ({ host: '127.0.0.1', port: 0 }),
    unix: () => ({ path: join(directory, `${randomUUID().slice(0, 8)}.sock`) }),
    memory: () => ({ memory: randomUUID() }),
  };
  const kinds = Object.keys(TRANSPORTS) as TransportKind[];
  const all = [
    ...kinds.map((kind) => open(kind, TRANSPORTS[kind](null, []), addresses[kind]())),
    ...kinds.filter((kind) => kind !== 'memory').map((kind) => open(`${kind}Tls`, TRANSPORTS[kind](credentials, []), addresses[kind]())),
  ];
  const pairs = await Promise.all(all);
  for (let round = 1; round <= options.rounds; round++) {
    progress(`  round ${round} of ${options.rounds}`);
    for (const pair of pairs) {
      const times = await roundTrips(pair, options.quick ? 500 : 5_000);
      pair.p50.push(percentile(times, 0.5));
      pair.p99.push(percentile(times, 0.99));
      pair.rates.push(await stream(pair, options.quick ? 100 : 500));
    }
  }
  for (const { name, p50, p99, rates, near, far, listener } of pairs) {
    report.addRounds('transports', `transports.${name}.roundTrip.p50`, p50, 'ms');
    report.addRounds('transports', `transports.${name}.roundTrip.p99`, p99, 'ms');
    report.addRounds('transports', `transports.${name}.rate`, rates, 'bytes/s');
    near.stream.destroy();
    far.stream.destroy();
    await listener.close();
  }
}

export const transports: Suite = {
  name: 'transports',
  summary: 'round trips and streams over each transport between members, both ends on one thread',
  async run(context) {
    const directory = openRoom(context.options.directory, 'transports');
    try {
      await measure(context, directory);
    } finally {
      closeRoom(directory);
    }
  },
};
