/** The application's side of the peer network: starts it where it runs, reports its events, ends it. No bytes of peers pass here. */
import { EventEmitter } from 'node:events';
import { CoordinatorError } from '../errors/index.js';
import { Counters, type NetworkStats } from './counters.js';
import type { Credentials } from './credentials.js';
import type { NetworkEvent } from './events.js';
import type { FromWorker, WorkerInput } from './messages.js';
import type { NetworkMembers, NetworkOptions } from './options.js';
import { type Runner, startRunner } from './runner.js';
import type { Address } from './transport.js';

export interface PeerNetworkOptions extends NetworkOptions {
  /** Module that exports `openPeerCore(handle)`; loaded inside the Worker. */
  readonly coreModule: URL | string;
  /** The core's handle number, valid for every thread of the process. */
  readonly coreHandle: number;
}

interface PeerNetworkEvents {
  event: [NetworkEvent];
  /** The network has failed for good, `NODE_FAILED` or `INTERNAL`. Where nobody listens, `failure` keeps it. */
  error: [CoordinatorError];
}

/** How long a closing Worker may take before it is ended from outside. */
const CLOSE_TIMEOUT_MS = 3_000;

export class PeerNetwork {
  readonly #runner: Runner;
  readonly #emitter = new EventEmitter<PeerNetworkEvents>();
  readonly #counters: Counters;
  readonly #ended: Promise<void>;
  readonly #started: Promise<void>;
  #address: Address | null = null;
  #failure: CoordinatorError | null = null;
  #closing: Promise<void> | null = null;

  private constructor(options: PeerNetworkOptions, counters: Counters) {
    this.#counters = counters;
    const { coreModule, coreHandle, ...network } = options;
    const input: WorkerInput = {
      options: network,
      coreModule: coreModule instanceof URL ? coreModule.href : coreModule,
      coreHandle,
      counters: counters.shared,
    };
    let rejectStart: (error: CoordinatorError) => void = () => {};
    let resolveStart: () => void = () => {};
    this.#started = new Promise((resolve, reject) => {
      resolveStart = resolve;
      rejectStart = reject;
    });
    let over: () => void = () => {};
    this.#ended = new Promise((resolve) => {
      over = resolve;
    });
    this.#runner = startRunner(input, {
      onMessage: (message) => this.#take(message, resolveStart, rejectStart),
      onError: (cause) => {
        const why = cause instanceof Error ? cause.message : String(cause);
        this.#fail(new CoordinatorError('NODE_FAILED', `the peer network failed: ${why}`, { cause }), rejectStart);
      },
      onEnd: (status) => {
        over();
        if (this.#closing !== null) return;
        this.#fail(new CoordinatorError('NODE_FAILED', `the peer network's thread ended by itself, status ${status}`), rejectStart);
      },
    });
  }

  /**
   * Resolves once the network listens and dials. Rejects with CoordinatorError: `PORT_IN_USE`, `CONFIG_INVALID` for an
   * address or option that cannot be used, else `NODE_FAILED` or `INTERNAL`; no thread is left behind then.
   */
  static async start(options: PeerNetworkOptions): Promise<PeerNetwork> {
    const network = new PeerNetwork(options, new Counters());
    try {
      await network.#started;
    } catch (error) {
      await network.close();
      throw error;
    }
    return network;
  }

  on<K extends keyof PeerNetworkEvents>(name: K, listener: (...args: PeerNetworkEvents[K]) => void): this {
    // The class's own types are the check; EventEmitter's generic cannot see through K.
    this.#emitter.on(name, listener as never);
    return this;
  }

  off<K extends keyof PeerNetworkEvents>(name: K, listener: (...args: PeerNetworkEvents[K]) => void): this {
    this.#emitter.off(name, listener as never);
    return this;
  }

  /** The address that is listened on, with the port that the system chose. */
  address(): Address {
    if (this.#address === null) throw new CoordinatorError('CLOSED', 'the peer network is not listening');
    return this.#address;
  }

  /** Has the network dial who is new, let go of who is gone, and accept nobody else. */
  setMembers(members: NetworkMembers): void {
    this.#runner.post({ kind: 'members', ...members });
  }

  /** Has new connections prove themselves with these, and closes those of whom they do not believe; the others go on. */
  renew(credentials: Credentials): void {
    this.#runner.post({ kind: 'credentials', credentials });
  }

  /** Counters as they are now; read from shared memory, also while the Worker is busy or gone. */
  stats(): NetworkStats {
    return this.#counters.read();
  }

  /** Why the network failed, or null. */
  get failure(): CoordinatorError | null {
    return this.#failure;
  }

  /** Resolves when sockets are closed, the core is detached and the thread has ended. Twice does no harm. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#runner.post({ kind: 'close' });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), CLOSE_TIMEOUT_MS);
    });
    const first = await Promise.race([this.#ended, late]);
    clearTimeout(timer);
    if (first === 'late') await this.#runner.terminate();
  }

  #take(message: FromWorker, resolveStart: () => void, rejectStart: (error: CoordinatorError) => void): void {
    if (message.kind === 'event') {
      this.#emitter.emit('event', message.event);
    } else if (message.kind === 'listening') {
      this.#address = message.address;
      resolveStart();
    } else {
      const { code, message: sentence, committed, details } = message.error;
      this.#fail(new CoordinatorError(code, sentence, details === null ? { committed } : { committed, details }), rejectStart);
    }
  }

  /** Keeps the first failure, rejects a start that still waits, and tells whoever listens. */
  #fail(error: CoordinatorError, rejectStart: (error: CoordinatorError) => void): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    const started = this.#address !== null;
    if (!started) rejectStart(error);
    // An error event nobody listens to would end the application's process.
    else if (this.#emitter.listenerCount('error') > 0) this.#emitter.emit('error', error);
  }
}
