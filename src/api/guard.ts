/** Lets in calls of those who may make them, and ends those that go on when what their callers have shown is revoked. */
import { type Metadata, ResponderBuilder, type ServerInterceptingCallInterface, ServerInterceptingCall, type ServerInterceptor, ServerListenerBuilder } from '@grpc/grpc-js';
import { describeHolder } from '../config/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type Caller, callerOfToken, type Callers } from './caller.js';
import { toStatus } from './codec-error.js';
import type { Connections } from './connections.js';
import { rolesFor } from './permissions.js';
import type { Told } from './told.js';

export interface GuardPorts {
  readonly callers: Callers;
  readonly connections: Connections;
  readonly told: Told;
}

export class Guard {
  readonly #ports: GuardPorts;
  readonly #calls = new Map<ServerInterceptingCallInterface, Caller>();

  constructor(ports: GuardPorts) {
    this.#ports = ports;
  }

  /** Ends the calls of those who are believed no more, and their connections. */
  recheck(): void {
    const { callers, connections } = this.#ports;
    for (const [call, { connection, token }] of [...this.#calls]) {
      const refusal = callers.cut(connection, token);
      if (refusal === null) continue;
      this.#calls.delete(call);
      // What it asked for may be on its way to the log.
      call.sendStatus(toStatus(new CoordinatorError(refusal.code, refusal.message, { committed: 'unknown' })));
    }
    for (const { connection, token } of connections.all()) {
      const refusal = callers.cut(connection, token);
      if (refusal !== null) connections.dismiss(connection, refusal);
    }
  }

  readonly interceptor: ServerInterceptor = ({ path }, call) => {
    const end = (): void => void this.#calls.delete(call);
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        const caller = this.#admit(call, metadata, path);
        if (caller instanceof CoordinatorError) {
          call.sendStatus(toStatus(caller));
          return;
        }
        if (caller !== null) this.#calls.set(call, caller);
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

  /** Who calls, null where nobody has to say it, or why the call is not answered. */
  #admit(call: ServerInterceptingCallInterface, metadata: Metadata, path: string): Caller | null | CoordinatorError {
    const { callers, connections, told } = this.#ports;
    const caller = callers.of(call, metadata);
    if (caller instanceof CoordinatorError) {
      if (caller.code !== 'UNAUTHENTICATED') return caller;
      connections.counts.callsUnauthenticated += 1;
      told.tell(call.getPeer(), `a call from ${call.getPeer()}: ${caller.message}`);
      return caller;
    }
    if (caller === null) return null;
    const { connection, token, holder } = caller;
    if (token !== null) {
      const refusal = connections.claim(connection, callerOfToken(token), token);
      if (refusal !== null) {
        told.tell(connection.remote, `a connection from ${connection.remote}: ${refusal.message}`);
        return refusal;
      }
      told.forget(connection.remote);
    }
    const roles = rolesFor(path);
    if (roles.includes(holder.role)) return caller;
    return new CoordinatorError('PERMISSION_DENIED', `${describeHolder(holder)} may not call ${path.split('/').at(-1)}; that takes the role ${roles.join(' or ')}`);
  }
}
