import { Cluster } from '../cluster.js';
import { partsOf, SIZES, submissions } from '../compression/contents.js';
import { type Packer, packers } from '../compression/packers.js';
import type { Context, Suite } from '../context.js';

/** Different contents of each size, so that no processor learns one by heart. */
const PARTS = { '256B': 256, '4KiB': 64, '64KiB': 16, '1MiB': 4 } as const;
/** Turns of a round, and how long each is: a round's rate is that of its fastest turn, since what disturbs only slows. */
const TURNS = 6;
const TURN_MS = 10;
const QUICK_TURN_MS = 2;

interface Case {
  readonly packer: Packer;
  readonly way: 'pack' | 'unpack';
  readonly rates: number[];
  run(): number;
}

/** Raw bytes a second. */
function rateOf(run: () => number, ms: number): number {
  const began = process.hrtime.bigint();
  const until = began + BigInt(Math.round(ms * 1e6));
  let [bytes, now] = [0, began];
  do {
    bytes += run();
    now = process.hrtime.bigint();
  } while (now < until);
  return (bytes * 1e9) / Number(now - began);
}

function casesOf(packer: Packer, parts: readonly Buffer[]): Case[] {
  const packed = parts.map((part) => Buffer.from(packer.pack(part)));
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  packed.forEach((one, at) => {
    if (Buffer.compare(packer.unpack(one, parts[at]!.length), parts[at]!) !== 0) throw new Error(`${packer.name}: something else came out`);
  });
  const pack = () => {
    for (const part of parts) packer.pack(part);
    return bytes;
  };
  const unpack = () => {
    for (let at = 0; at < packed.length; at++) packer.unpack(packed[at]!, parts[at]!.length);
    return bytes;
  };
  return [
    { packer, way: 'pack', rates: [], run: pack },
    { packer, way: 'unpack', rates: [], run: unpack },
  ];
}

function measure({ options, report, progress }: Context, size: (typeof SIZES)[number], content: Buffer, all: readonly Packer[]): void {
  progress(`  ${size.name}`);
  const parts = partsOf(content, size.bytes, PARTS[size.name]);
  const cases = all.flatMap((packer) => casesOf(packer, parts));
  const turnMs = options.quick ? QUICK_TURN_MS : TURN_MS;
  for (const { run } of cases) rateOf(run, TURNS * turnMs);
  for (let round = 0; round < options.rounds; round++) {
    for (const { rates } of cases) rates.push(0);
    // In turns, so that what disturbs the machine disturbs all of them.
    for (let turn = 0; turn < TURNS; turn++) for (const { run, rates } of cases) rates[round] = Math.max(rates[round]!, rateOf(run, turnMs));
  }

  const raw = parts.reduce((sum, part) => sum + part.length, 0);
  for (const packer of all) {
    const packed = parts.reduce((sum, part) => sum + packer.pack(part).length, 0);
    report.add('compression', `compression.${size.name}.${packer.name}.ratio`, raw / packed, 'ratio');
    for (const { packer: of, way, rates } of cases) if (of === packer) report.addRounds('compression', `compression.${size.name}.${packer.name}.${way}`, rates, 'bytes/s');
  }
  for (const packer of all.filter(({ ours }) => ours)) {
    for (const way of ['pack', 'unpack'] as const) {
      const rates = (wanted: (other: Packer) => boolean) => cases.filter((one) => one.way === way && wanted(one.packer)).map((one) => one.rates);
      const [own = []] = rates((other) => other === packer);
      const others = rates((other) => !other.ours && other.family === packer.family);
      // Without zstd-napi's native part there is nobody to be held against.
      if (others.length === 0) continue;
      const ratios = own.map((rate, round) => rate / Math.max(...others.map((of) => of[round]!)));
      report.addRounds('compression', `compression.${size.name}.${packer.name}.${way}Ratio`, ratios, 'ratio');
    }
  }
}

/** Bytes that the leader sends each follower for an event of 256 bytes, at each setting of `network.compression`. */
async function onTheWire({ options, report, progress }: Context): Promise<void> {
  for (const compression of ['none', 'lz4', 'snappy', 'zstd', 'auto'] as const) {
    progress(`  on the wire: ${compression}`);
    await Cluster.with(
      options.directory,
      async (cluster) => {
        const { leader, followers } = await cluster.roles();
        for (const batch of [1, 16, 256]) {
          const before = (await leader.call('status')).bytesSent;
          const sent = { inFlight: 1, batch, shape: 'recorded', warmupMs: 100, durationMs: options.quick ? 200 : 1000 } as const;
          const { total } = await leader.call('inFlight', sent);
          await cluster.equal();
          const bytes = (await leader.call('status')).bytesSent - before;
          report.add('compression', `compression.wire.${compression}.batch${batch}`, bytes / followers.length / total, 'bytes');
        }
      },
      { network: { compression } },
    );
  }
}

/** Packing and unpacking beside others, from this thread: what the peers and the crossing cost is in it. */
export const compression: Suite = {
  name: 'compression',
  summary: 'packing and unpacking events, beside lz4-napi, zstd-napi, snappy and node:zlib; bytes between members at each compression',
  async run(context) {
    const content = submissions();
    const all = await packers();
    if (!all.some(({ name }) => name.startsWith('zstdNapi'))) context.progress('  without zstd-napi, whose native part is not built (npm rebuild zstd-napi)');
    for (const size of SIZES) measure(context, size, content, all);
    await onTheWire(context);
  },
};
