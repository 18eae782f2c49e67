import type { Committed } from '../contracts/coordinator.js';
import type { ErrorCode } from '../errors/index.js';
import type { Credentials } from './credentials.js';
import type { NetworkEvent } from './events.js';
import type { NetworkMembers, NetworkOptions } from './options.js';
import type { Address } from './transport.js';

/** What the Worker is started with. */
export interface WorkerInput {
  readonly options: NetworkOptions;
  /** Module that exports `openPeerCore`, as a URL. */
  readonly coreModule: string;
  readonly coreHandle: number;
  /** Memory of `Counters`. */
  readonly counters: SharedArrayBuffer;
}

/** Errors lose their class between threads: what is needed to make them again. */
export interface PlainError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly committed: Committed;
  readonly details: Record<string, unknown> | null;
}

export type FromWorker =
  | { readonly kind: 'listening'; readonly address: Address }
  | { readonly kind: 'failed'; readonly error: PlainError }
  | { readonly kind: 'event'; readonly event: NetworkEvent };

export type ToWorker = { readonly kind: 'close' } | ({ readonly kind: 'members' } & NetworkMembers) | { readonly kind: 'credentials'; readonly credentials: Credentials };
