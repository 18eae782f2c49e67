/**
 * Connections within one thread, for members that are in one process: tests of applications, examples. They are bounded and fail as those of
 * the system do, and what is written comes in a later turn of the loop, never within the call that writes.
 */
import { Duplex } from 'node:stream';
import { CoordinatorError } from '../errors/index.js';
import { type Address, formatAddress, type Transport, type TransportListener, type TransportListenHandlers, type TransportStream } from './transport.js';

/** What an end holds that nobody has read; beyond it, what is written waits at the other one. */
const UNREAD_BYTES_MAX = 64 * 1024;
/** As long as a timer can be: a listener keeps the process, as one of the system does. */
const FOREVER_MS = 2 ** 31 - 1;

type Take = (end: End) => void;
const listeners = new Map<string, Take>();
let accepted = 0;

export const memory: Transport = {
  dial(address: Address, bufferBytes: number, onOpen: () => void): TransportStream {
    const end = new End(bufferBytes, () => {
      const take = listeners.get(nameOf(address));
      if (take === undefined) throw systemError('connect', 'ECONNREFUSED', address);
      const other = new End(bufferBytes, () => {});
      end.join(other);
      take(other);
    });
    end.once('connect', onOpen);
    return { stream: end, remote: formatAddress(address), proof: provesNothing };
  },

  async listen(address: Address, handlers: TransportListenHandlers): Promise<TransportListener> {
    const name = nameOf(address);
    if (listeners.has(name)) throw systemError('listen', 'EADDRINUSE', address);
    listeners.set(name, (stream) => {
      accepted += 1;
      handlers.onStream({ stream, remote: `${formatAddress(address)}:${accepted}`, proof: provesNothing }, null);
    });
    const kept = setInterval(() => {}, FOREVER_MS);
    return {
      address: { memory: name },
      async close(): Promise<void> {
        clearInterval(kept);
        listeners.delete(name);
      },
    };
  },
};

const provesNothing = (): null => null;

/** One end of a connection. Invariant: two that are joined name each other as `#other`, until either is destroyed. */
class End extends Duplex {
  readonly #connect: () => void;
  #other: End | null = null;
  /** Goes on with the other end's write, once this one has been read. */
  #held: Done | null = null;

  /** `connect` throws where there is nobody. */
  constructor(bufferBytes: number, connect: () => void) {
    super({ writableHighWaterMark: bufferBytes, readableHighWaterMark: UNREAD_BYTES_MAX, allowHalfOpen: false });
    this.#connect = connect;
  }

  join(other: End): void {
    this.#other = other;
    other.#other = this;
  }

  override _construct(done: Done): void {
    setImmediate(() => {
      if (this.destroyed) return done();
      try {
        this.#connect();
      } catch (error) {
        return done(error as Error);
      }
      done();
      this.emit('connect');
    });
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    // The writer may use its memory again as soon as it is told that this is done.
    this.#hand(Buffer.from(chunk), done);
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: Done): void {
    this.#hand(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _read(): void {
    const held = this.#held;
    this.#held = null;
    held?.();
  }

  override _final(done: Done): void {
    setImmediate(() => {
      this.#other?.push(null);
      done();
    });
  }

  /** Who has not read all that has come resets the connection, as the system does. */
  override _destroy(error: Error | null, done: Done): void {
    const other = this.#other;
    const isReset = this.readableLength > 0 || this.#held !== null;
    this.#other = null;
    this.#held = null;
    if (other !== null) {
      other.#other = null;
      setImmediate(() => {
        if (isReset) other.destroy(systemError('read', 'ECONNRESET'));
        else if (!other.readableEnded) other.push(null);
      });
    }
    done(error);
  }

  /** What has been handed over arrives, also where this end is destroyed meanwhile. */
  #hand(bytes: Buffer, done: Done): void {
    const other = this.#other;
    setImmediate(() => {
      if (other === null || other.destroyed) return done(systemError('write', 'ECONNRESET'));
      if (other.push(bytes)) done();
      else other.#held = done;
    });
  }
}

type Done = (error?: Error | null) => void;

function nameOf(address: Address): string {
  if (!('memory' in address)) throw new CoordinatorError('INTERNAL', `${formatAddress(address)} is not a name within this process`);
  return address.memory;
}

function systemError(call: string, code: string, address?: Address): NodeJS.ErrnoException {
  return Object.assign(new Error(`${call} ${code}${address === undefined ? '' : ` ${formatAddress(address)}`}`), { code, syscall: call });
}
