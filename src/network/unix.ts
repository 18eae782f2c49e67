/**
 * Sockets of this machine, by the path of a file that its owner alone may open. A socket whose process is gone leaves its file behind; whoever
 * listens there next takes its place, and that of nothing else: neither of one that somebody listens on, nor of a file of another kind.
 */
import { randomBytes } from 'node:crypto';
import { chmod, link, lstat, rename, unlink } from 'node:fs/promises';
import { connect, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { SOCKET_NAME_BYTES_MIN, type SocketPath } from '../config/index.js';
import { CoordinatorError } from '../errors/index.js';
import { closed, listening, Plain, type Sockets } from './sockets.js';
import { type Address, formatAddress, type Transport, type TransportListener } from './transport.js';

const OWNER_ALONE = 0o600;
/** One that finds no room is refused at once (EAGAIN), where TCP would have it wait. */
const BACKLOG = 1_024;
/** Of places that are taken over; one is, unless somebody else does the same at the same time. */
const ATTEMPTS_MAX = 8;

/** A connection tells nothing of its other end, so it is told from others by its number in this thread. */
const names = new WeakMap<Socket, string>();
let accepted = 0;

export const UNIX: Sockets = {
  target: pathOf,
  accepted: {},
  tune(): void {},

  remoteOf(socket: Socket): string {
    return names.get(socket) ?? '?';
  },

  async listen(server: Server, address: Address): Promise<TransportListener> {
    const { path } = pathOf(address);
    server.prependListener('connection', (socket) => {
      accepted += 1;
      names.set(socket, `${formatAddress({ path })}:${accepted}`);
    });
    const made = nameBeside(path);
    try {
      await listening(server, { path: made, exclusive: true, backlog: BACKLOG });
      // At its own path nobody ever finds it with another mode.
      await chmod(made, OWNER_ALONE);
      await place(made, path);
    } catch (error) {
      await closed(server);
      throw at(path, error);
    } finally {
      await forget(made);
    }
    const own = await fileAt(path);
    const close = async (): Promise<void> => {
      // What stands there may be another's by now, who has put it in the place of ours.
      if (own !== null && isSame(await fileAt(path), own)) await forget(path);
      await closed(server);
    };
    return { address: { path }, close };
  },
};

export const unix: Transport = new Plain(UNIX);

function pathOf(address: Address): SocketPath {
  if (!('path' in address)) throw new CoordinatorError('INTERNAL', `${formatAddress(address)} is not a socket of this machine`);
  return { path: address.path };
}

/** Gives the socket its own name, of which nobody else listens. */
async function place(made: string, path: string): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    try {
      await link(made, path);
      return;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    const found = await fileAt(path);
    if (found === null) continue;
    if (!found.isSocket()) throw systemError('EEXIST', 'a file of another kind is there');
    if (!(await isDeserted(path))) throw systemError('EADDRINUSE', 'somebody listens there');
    await clear(path, found);
  }
  throw systemError('EADDRINUSE', 'others take the path at the same time');
}

/** Takes a deserted socket away. What has come in its place meanwhile is put back. */
async function clear(path: string, found: File): Promise<void> {
  const aside = nameBeside(path);
  try {
    await rename(path, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  if (!isSame(await fileAt(aside), found)) await link(aside, path).catch(() => {});
  await forget(aside);
}

/** Whether the process that listened there is gone. What cannot be asked may be alive. */
function isDeserted(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const end = (is: boolean): void => {
      socket.destroy();
      resolve(is);
    };
    socket.once('connect', () => end(false));
    socket.once('error', (error) => end(codeOf(error) === 'ECONNREFUSED'));
  });
}

type File = NonNullable<Awaited<ReturnType<typeof fileAt>>>;

async function fileAt(path: string) {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

const isSame = (one: File | null, other: File): boolean => one?.ino === other.ino && one.dev === other.dev;
const forget = (path: string): Promise<void> => unlink(path).catch(() => {});
const nameBeside = (path: string): string => join(dirname(path), `.${randomBytes(SOCKET_NAME_BYTES_MIN).toString('hex').slice(0, SOCKET_NAME_BYTES_MIN - 1)}`);
const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;
const systemError = (code: string, message: string): NodeJS.ErrnoException => Object.assign(new Error(message), { code });

/** The system's error as of the path that was asked for, and not of the one beside it. */
function at(path: string, error: unknown): NodeJS.ErrnoException {
  const code = codeOf(error) ?? 'UNKNOWN';
  // Node says EACCES for both.
  const why = code === 'EACCES' ? 'its directory is not there, or may not be written' : (error as Error).message;
  return Object.assign(new Error(`${code}: ${path}: ${why}`, { cause: error }), { code });
}
