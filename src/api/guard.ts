/** Lets in calls whose certificate allows them, and ends those that go on when their certificate is revoked. */
import { ResponderBuilder, type ServerInterceptingCallInterface, ServerInterceptingCall, type ServerInterceptor, ServerListenerBuilder } from '@grpc/grpc-js';
import { describeHolder } from '../config/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type Caller, callerOf } from './caller.js';
import { toStatus } from './codec-error.js';
import { rolesFor } from './permissions.js';

export class Guard {
  readonly #clusterId: string;
  readonly #nowMs: () => number;
  readonly #calls = new Map<ServerInterceptingCallInterface, Caller>();
  #revoked: ReadonlySet<string>;

  constructor(clusterId: string, revoked: readonly string[], nowMs: () => number) {
    this.#clusterId = clusterId;
    this.#revoked = new Set(revoked);
    this.#nowMs = nowMs;
  }

  /** Calls of certificates on the list end at once. */
  revoke(revoked: readonly string[]): void {
    this.#revoked = new Set(revoked);
    for (const [call, caller] of [...this.#calls]) {
      const refusal = this.#standing(caller);
      if (refusal === null) continue;
      this.#calls.delete(call);
      // What it asked for may be on its way to the log.
      call.sendStatus(toStatus(new CoordinatorError(refusal.code, refusal.message, { committed: 'unknown' })));
    }
  }

  readonly interceptor: ServerInterceptor = ({ path }, call) => {
    const end = (): void => void this.#calls.delete(call);
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        const caller = callerOf(call);
        const refusal = this.#standing(caller) ?? this.#permission(caller, path);
        if (refusal !== null) {
          call.sendStatus(toStatus(refusal));
          return;
        }
        this.#calls.set(call, caller);
        next(metadata);
      })
      .withOnCancel(end)
      .build();
    const responder = new ResponderBuilder()
      .withStart((next) => next(listener))
      .withSendStatus((status, next) => {
        end();
        next(status);
      })
      .build();
    return new ServerInterceptingCall(call, responder);
  };

  /** Whether the certificate is good for anything here; a connection may last longer than it. */
  #standing({ serial, holder, notAfterMs }: Caller): CoordinatorError | null {
    if (holder === null) return denied('the certificate does not say whose it is');
    if (holder.clusterId !== this.#clusterId) return denied(`the certificate is that of ${describeHolder(holder)}; this is cluster ${JSON.stringify(this.#clusterId)}`);
    if (this.#revoked.has(serial)) return denied(`certificate ${serial} of ${describeHolder(holder)} was revoked`);
    if (this.#nowMs() > notAfterMs) return denied(`certificate ${serial} of ${describeHolder(holder)} expired at ${new Date(notAfterMs).toISOString()}`);
    return null;
  }

  #permission({ holder }: Caller, path: string): CoordinatorError | null {
    const roles = rolesFor(path);
    if (holder !== null && roles.includes(holder.role)) return null;
    return denied(`${holder === null ? 'nobody' : describeHolder(holder)} may not call ${path.split('/').at(-1)}; that takes the role ${roles.join(' or ')}`);
  }
}

function denied(message: string): CoordinatorError {
  return new CoordinatorError('PERMISSION_DENIED', message);
}
