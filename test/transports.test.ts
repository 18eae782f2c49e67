/** What every transport between members has to do. A new one is put through all of it by its line in `TRANSPORTS`. */
import { createServer } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import type { Credentials } from '../dist/network/credentials.js';
import type { Transport, TransportListener, TransportStream } from '../dist/network/transport.js';
import { TRANSPORTS, type TransportName } from '../dist/network/transports.js';
import { Authority } from './fixtures/certificates.js';
import { freePort, HOST, until } from './fixtures/network.js';

interface Listening {
  readonly transport: Transport;
  readonly listener: TransportListener;
  readonly accepted: TransportStream[];
}

interface Ends {
  readonly dialled: TransportStream;
  readonly accepted: TransportStream;
}

const BUFFER_BYTES = 64 * 1024;
const MIB = 1024 * 1024;

async function listening(t: ExecutionContext, name: TransportName): Promise<Listening> {
  const credentials: Credentials | null = name === 'tls' ? await (await Authority.new()).credentials('a') : null;
  const transport = TRANSPORTS[name](credentials);
  const accepted: TransportStream[] = [];
  const onStream = (one: TransportStream): void => {
    one.stream.on('error', () => {});
    accepted.push(one);
  };
  const listener = await transport.listen({ host: HOST, port: 0 }, { onStream, onArrival: () => {}, onLost: () => {}, onError: (error) => t.fail(error.message) });
  t.teardown(async () => {
    for (const { stream } of accepted) stream.destroy();
    await listener.close();
  });
  return { transport, listener, accepted };
}

async function dial(t: ExecutionContext, { transport, listener, accepted }: Listening): Promise<Ends> {
  const before = accepted.length;
  let opened = false;
  const dialled = transport.dial(listener.address, BUFFER_BYTES, () => {
    opened = true;
  });
  dialled.stream.on('error', () => {});
  t.teardown(() => void dialled.stream.destroy());
  await until(() => opened && accepted.length > before, 'both ends');
  return { dialled, accepted: accepted[before]! };
}

/** Bytes in which every position is told from its neighbours. */
function pattern(bytes: number): Buffer {
  const made = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) made.writeUInt32LE((at * 2_654_435_761) >>> 0, at);
  return made;
}

function collect({ stream }: TransportStream): { bytes(): Buffer; ended: boolean; closed: boolean } {
  const chunks: Buffer[] = [];
  const seen = { bytes: () => Buffer.concat(chunks), ended: false, closed: false };
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.once('end', () => {
    seen.ended = true;
  });
  stream.once('close', () => {
    seen.closed = true;
  });
  return seen;
}

const lengthOf = (chunks: { bytes(): Buffer }): number => chunks.bytes().length;

for (const name of Object.keys(TRANSPORTS) as TransportName[]) {
  test(`${name}: bytes arrive as they were sent, both ways, in small writes, corked ones and large ones`, async (t) => {
    const { dialled, accepted } = await dial(t, await listening(t, name));
    const [there, back] = [collect(accepted), collect(dialled)];
    const sent = pattern(4 * MIB);
    for (let at = 0; at < 3_000; at += 30) dialled.stream.write(sent.subarray(at, at + 30));
    dialled.stream.cork();
    for (let at = 3_000; at < 100_000; at += 1_000) dialled.stream.write(sent.subarray(at, at + 1_000));
    dialled.stream.uncork();
    dialled.stream.write(sent.subarray(100_000));
    accepted.stream.write(sent.subarray(0, MIB));
    await until(() => lengthOf(there) >= sent.length && lengthOf(back) >= MIB, 'all bytes', 20_000);
    t.true(there.bytes().equals(sent));
    t.true(back.bytes().equals(sent.subarray(0, MIB)));
  });

  test(`${name}: who does not read holds the writer up, and no byte is lost by it`, async (t) => {
    const { dialled, accepted } = await dial(t, await listening(t, name));
    const chunk = pattern(BUFFER_BYTES);
    let written = 0;
    // A kernel takes some megabytes for a reader that does not read.
    while (written < 64 * MIB) {
      const goesOn = dialled.stream.write(chunk);
      written += chunk.length;
      if (goesOn) continue;
      const drained = await Promise.race([
        new Promise<boolean>((resolve) => dialled.stream.once('drain', () => resolve(true))),
        new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 500)),
      ]);
      if (!drained) break;
    }
    t.true(written < 64 * MIB, 'the writer is never held up');
    t.true(dialled.stream.writableLength > 0 && dialled.stream.writableNeedDrain);
    let read = 0;
    let intact = true;
    let drained = false;
    dialled.stream.once('drain', () => {
      drained = true;
    });
    accepted.stream.on('data', (bytes: Buffer) => {
      for (let at = 0; at < bytes.length; ) {
        const offset = (read + at) % chunk.length;
        const part = Math.min(bytes.length - at, chunk.length - offset);
        intact &&= bytes.subarray(at, at + part).equals(chunk.subarray(offset, offset + part));
        at += part;
      }
      read += bytes.length;
    });
    await until(() => read >= written && drained, 'what waited', 20_000);
    t.is(read, written);
    t.true(intact);
  });

  test(`${name}: what was written before the end arrives; the end is told, and the close after it`, async (t) => {
    const { dialled, accepted } = await dial(t, await listening(t, name));
    const [there, back] = [collect(accepted), collect(dialled)];
    const last = pattern(MIB);
    dialled.stream.end(last);
    await until(() => there.ended, 'the end');
    t.true(there.bytes().equals(last));
    await until(() => there.closed && back.closed, 'the close of both ends');
  });

  test(`${name}: one end that is destroyed closes the other`, async (t) => {
    const { dialled, accepted } = await dial(t, await listening(t, name));
    const there = collect(accepted);
    dialled.stream.write('hello');
    await until(() => lengthOf(there) === 5, 'the bytes');
    dialled.stream.destroy();
    await until(() => there.closed, 'the close');
    accepted.stream.destroy();
    t.pass();
  });

  test(`${name}: a dial that nobody takes fails with the system's error, and closes; it never opens`, async (t) => {
    const { transport } = await listening(t, name);
    const { stream } = transport.dial({ host: HOST, port: await freePort() }, BUFFER_BYTES, () => t.fail('it opened'));
    const told: string[] = [];
    stream.on('error', (error: NodeJS.ErrnoException) => told.push(error.code ?? ''));
    await new Promise((resolve) => stream.once('close', resolve));
    t.deepEqual(told, ['ECONNREFUSED']);
  });

  test(`${name}: a listener on a port that is taken rejects with the system's error; one that is closed takes nobody`, async (t) => {
    const { transport, listener } = await listening(t, name);
    const nothing = { onStream: () => {}, onArrival: () => {}, onLost: () => {}, onError: () => {} };
    const error = await t.throwsAsync(transport.listen(listener.address, nothing));
    t.is((error as NodeJS.ErrnoException).code, 'EADDRINUSE');
    const other = await transport.listen({ host: HOST, port: 0 }, nothing);
    await other.close();
    const server = createServer();
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(other.address.port, HOST, resolve));
    await new Promise((resolve) => server.close(resolve));
  });

  test(`${name}: many streams at once keep their bytes apart`, async (t) => {
    const at = await listening(t, name);
    const streams = 60;
    const closed: Promise<unknown>[] = [];
    for (let number = 0; number < streams; number++) {
      const { stream } = at.transport.dial(at.listener.address, BUFFER_BYTES, () => {
        stream.write(pattern(10_000));
        stream.end(String(number).padStart(4, '0'));
      });
      stream.on('error', (error) => t.fail(error.message));
      stream.resume();
      closed.push(new Promise((resolve) => stream.once('close', resolve)));
    }
    const received = new Set<string>();
    const seen = new Set<TransportStream>();
    await until(
      () => {
        for (const one of at.accepted) {
          if (seen.has(one)) continue;
          seen.add(one);
          const chunks = collect(one);
          one.stream.once('end', () => {
            t.true(chunks.bytes().subarray(0, 10_000).equals(pattern(10_000)));
            received.add(chunks.bytes().subarray(10_000).toString());
          });
        }
        return received.size === streams;
      },
      'all streams',
      20_000,
    );
    await Promise.all(closed);
    t.deepEqual([...received].sort(), Array.from({ length: streams }, (_, number) => String(number).padStart(4, '0')));
  });

  test(`${name}: the proof is there once the stream is open, and says the same to both ends`, async (t) => {
    const { dialled, accepted } = await dial(t, await listening(t, name));
    const proofs = [dialled.proof(), accepted.proof()];
    t.deepEqual(proofs[0], proofs[1]);
    if (name === 'tls') t.like(proofs[0], { holder: { clusterId: 'test', role: 'node', name: 'a' }, fault: null });
    else t.is(proofs[0], null);
  });
}
