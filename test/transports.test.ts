/** Every transport does all that `CASES` say, and each case can tell one that does not. A new kind of address is put through all of it by its line in `TRANSPORTS`. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import type { Address, Transport, TransportStream } from '../dist/network/transport.js';
import { TRANSPORTS, type TransportKind } from '../dist/network/transports.js';
import { Authority } from './fixtures/certificates.js';
import { freePort, HOST } from './fixtures/network.js';
import { room } from './helpers/cluster.js';
import { CASES, runCase, type Subject } from './helpers/transport-cases.js';

const PATIENCE_MS = 20_000;
/** Of a broken one, which has nothing to wait for. */
const IMPATIENCE_MS = 1_500;

const ADDRESSES: Record<TransportKind, { address(t: ExecutionContext): Promise<Address>; readonly nobody: readonly string[] }> = {
  tcp: { address: async () => ({ host: HOST, port: await freePort() }), nobody: ['ECONNREFUSED'] },
  unix: { address: async (t) => ({ path: join(room(t), 'a.sock') }), nobody: ['ENOENT'] },
  memory: { address: async () => ({ memory: randomUUID() }), nobody: ['ECONNREFUSED'] },
};

async function subjectOf(t: ExecutionContext, kind: TransportKind, isSecured: boolean): Promise<Subject> {
  const credentials = isSecured ? await (await Authority.new()).credentials('a') : null;
  const { address, nobody } = ADDRESSES[kind];
  return {
    transport: TRANSPORTS[kind](credentials, []),
    address: () => address(t),
    nobody,
    proof: isSecured ? { holder: { clusterId: 'test', role: 'node', name: 'a' }, fault: null } : null,
    patienceMs: PATIENCE_MS,
  };
}

for (const kind of Object.keys(TRANSPORTS) as TransportKind[]) {
  for (const isSecured of kind === 'memory' ? [false] : [false, true]) {
    for (const one of CASES) {
      test(`${kind}${isSecured ? ' with TLS' : ''}: ${one.name}`, async (t) => {
        await runCase(one, await subjectOf(t, kind, isSecured));
        t.pass();
      });
    }
  }
}

/** Changes what is dialled, and what is accepted. */
type Break = { readonly dialled?: (one: TransportStream) => void; readonly accepted?: (one: TransportStream) => void } & Partial<Transport>;

function broken(whole: Transport, { dialled, accepted, ...instead }: Break): Transport {
  return {
    dial(address, bufferBytes, onOpen) {
      const one = whole.dial(address, bufferBytes, onOpen);
      dialled?.(one);
      return one;
    },
    listen: (address, handlers) =>
      whole.listen(address, {
        ...handlers,
        onStream: (one, arrival) => {
          accepted?.(one);
          handlers.onStream(one, arrival);
        },
      }),
    ...instead,
  };
}

const isLarge = (chunk: unknown): chunk is Buffer => Buffer.isBuffer(chunk) && chunk.length > 50_000;

/** What a write hands on in the place of what it was given; null for nothing. */
function rewriting({ stream }: TransportStream, change: (chunk: unknown) => unknown): void {
  const write = stream.write.bind(stream) as (chunk: unknown, ...more: unknown[]) => boolean;
  stream.write = ((chunk: unknown, ...more: unknown[]) => {
    const changed = change(chunk);
    return changed === null ? true : write(changed, ...more);
  }) as typeof stream.write;
}

/** Hands on what the parts of a stream do to another stream. */
function directly({ stream }: TransportStream, reader: () => Duplex | undefined): void {
  stream._write = (chunk: Buffer, _encoding, done) => {
    reader()?.emit('data', chunk);
    done();
  };
  delete (stream as { _writev?: unknown })._writev;
  Object.defineProperty(stream, '_writev', { value: null });
}

/** Beginnings of the names of the cases that have to find it. */
const BREAKS: readonly { readonly what: string; readonly finds: readonly string[]; make(whole: Transport): Break }[] = [
  {
    what: 'changes a byte of large writes',
    finds: ['bytes arrive'],
    make: () => ({
      dialled: (one) =>
        rewriting(one, (chunk) => {
          if (!isLarge(chunk)) return chunk;
          const other = Buffer.from(chunk);
          other[7] = other[7]! ^ 1;
          return other;
        }),
    }),
  },
  {
    what: 'lets a large write overtake the one before it',
    finds: ['bytes arrive'],
    make: () => ({
      dialled: (one) => {
        let held: unknown = null;
        rewriting(one, (chunk) => {
          if (!isLarge(chunk)) return chunk;
          if (held === null) {
            held = chunk;
            return null;
          }
          const both = Buffer.concat([chunk, held as Buffer]);
          held = null;
          return both;
        });
      },
    }),
  },
  {
    what: 'hands on what it was given, and in the same turn',
    finds: ['what was written may be overwritten', 'nothing arrives within', 'who does not read'],
    make: () => {
      const others: Duplex[] = [];
      let number = 0;
      return {
        dialled: (one) => {
          const at = number++;
          directly(one, () => others[at]);
        },
        accepted: ({ stream }) => others.push(stream),
      };
    },
  },
  {
    what: 'loses what there is no room for',
    finds: ['who does not read'],
    make: () => ({
      accepted: ({ stream }) => {
        const push = stream.push.bind(stream);
        stream.push = (chunk: unknown) => {
          const goesOn = push(chunk);
          if (!goesOn && chunk !== null) stream.read();
          return goesOn;
        };
      },
    }),
  },
  {
    what: 'forgets what comes with the end',
    finds: ['what was written before'],
    make: () => ({
      dialled: ({ stream }) => {
        const end = stream.end.bind(stream);
        stream.end = (() => end()) as typeof stream.end;
      },
    }),
  },
  {
    what: 'is closed by its own end',
    finds: ['one end is over'],
    make: () => ({ dialled: ({ stream }) => void stream.once('finish', () => stream.destroy()) }),
  },
  {
    what: 'does not tell that it was destroyed',
    finds: ['one end that is destroyed closes', 'one end that is destroyed with'],
    make: () => ({
      dialled: ({ stream }) => {
        stream.destroy = () => stream;
      },
    }),
  },
  {
    what: 'does not tell who writes that nobody is there',
    finds: ['who writes'],
    make: () => ({
      accepted: ({ stream }) => {
        stream.destroy = () => stream;
      },
    }),
  },
  {
    what: 'fails with an error of its own',
    finds: ['who writes', 'one end that is destroyed with'],
    make: () => {
      const change = ({ stream }: TransportStream): void => {
        const destroy = stream._destroy.bind(stream);
        stream._destroy = (_error, done) => destroy(null, () => done(new Error('it is over')));
      };
      return { accepted: change, dialled: change };
    },
  },
  {
    what: 'waits where nobody listens',
    finds: ['a dial that nobody takes', 'one that is closed takes nobody'],
    make: (whole) => ({
      dial: (address, bufferBytes, onOpen) => {
        const one = whole.dial(address, bufferBytes, onOpen);
        const destroy = one.stream.destroy.bind(one.stream);
        one.stream.destroy = (error) => (error === undefined ? destroy() : one.stream);
        const construct = one.stream._construct?.bind(one.stream);
        one.stream._construct = (done) => construct?.((error) => void (error ?? done()));
        return one;
      },
    }),
  },
  {
    what: 'opens what was given up',
    finds: ['a dial that is given up'],
    make: (whole) => ({
      dial: (address, bufferBytes, onOpen) => {
        setImmediate(onOpen);
        return whole.dial(address, bufferBytes, () => {});
      },
    }),
  },
  {
    what: 'listens twice',
    finds: ['a listener at an address'],
    make: (whole) => ({ listen: (address, handlers) => whole.listen(address, handlers).catch(() => ({ address, close: async () => {} })) }),
  },
  {
    what: 'listens on after its close',
    finds: ['one that is closed takes nobody', 'one that is closed while'],
    make: (whole) => ({
      async listen(address, handlers) {
        const listener = await whole.listen(address, handlers);
        return { ...listener, close: async () => void setTimeout(() => listener.close(), 3_000).unref() };
      },
    }),
  },
  {
    what: 'crosses streams',
    finds: ['many streams'],
    make: () => {
      let before: unknown = null;
      return {
        dialled: ({ stream }) => {
          const end = stream.end.bind(stream);
          stream.end = ((last: unknown) => {
            const other = before ?? last;
            before = last;
            return end(other);
          }) as typeof stream.end;
        },
      };
    },
  },
  {
    what: 'has one name for all',
    finds: ['many streams'],
    make: () => ({ accepted: (one) => Object.assign(one, { remote: 'memory:a' }) }),
  },
  {
    what: 'proves something to one end alone',
    finds: ['the proof is there'],
    make: () => ({ accepted: (one) => Object.assign(one, { proof: () => ({ holder: null, fault: null, certificate: null }) }) }),
  },
];

for (const { what, finds, make } of BREAKS) {
  for (const beginning of finds) {
    test(`a transport that ${what} is found by "${beginning}"`, async (t) => {
      const one = CASES.find(({ name }) => name.startsWith(beginning))!;
      const whole = await subjectOf(t, 'memory', false);
      const subject = { ...whole, transport: broken(whole.transport, make(whole.transport)), patienceMs: IMPATIENCE_MS };
      await t.throwsAsync(runCase(one, subject));
    });
  }
}

test('each case finds some transport that is broken', (t) => {
  const found = BREAKS.flatMap(({ finds }) => finds);
  t.deepEqual(CASES.filter(({ name }) => !found.some((beginning) => name.startsWith(beginning))), []);
});
