/** Records what operators ask for before it is done, and what came of it. */
import { randomUUID } from 'node:crypto';
import { Metadata, ResponderBuilder, type ServerInterceptingCallInterface, ServerInterceptingCall, type ServerInterceptor, ServerListenerBuilder, status as GrpcStatus } from '@grpc/grpc-js';
import { CoordinatorError } from '../errors/index.js';
import type { AuditLog } from './audit-log.js';
import { callerOf } from './caller.js';
import { fromStatus, toStatus } from './codec-error.js';
import { isForOperators } from './permissions.js';

/** Of a request as it is written down, in UTF-16 units: what operators ask for is short. */
const REQUEST_LENGTH_MAX = 4096;

export interface AuditPorts {
  readonly nodeId: string;
  readonly log: Pick<AuditLog, 'append'>;
  nowMs(): number;
  /** What came of a call is not on record. */
  warn(message: string): void;
}

export function auditing(ports: AuditPorts): ServerInterceptor {
  return ({ path }, call) => {
    if (!isForOperators(path)) return new ServerInterceptingCall(call);
    const entry = (fields: object): object => ({ at: new Date(ports.nowMs()).toISOString(), node: ports.nodeId, ...fields });
    const [id, name] = [randomUUID(), path.split('/').at(-1)];
    let asked = false;
    const listener = new ServerListenerBuilder()
      .withOnReceiveMessage((message, next) => {
        ports.log.append(entry({ call: id, asks: name, by: whoCalls(call), from: call.getPeer(), request: textOf(message) })).then(
          () => {
            asked = true;
            next(message);
          },
          (error: Error) => call.sendStatus(toStatus(new CoordinatorError('AUDIT_FAILED', `${name} is not done, since it cannot be recorded: ${error.message}`))),
        );
      })
      .build();
    const responder = new ResponderBuilder()
      .withStart((next) => next(listener))
      .withSendStatus((status, next) => {
        if (asked) {
          const { code, message } = status.code === GrpcStatus.OK ? { code: 'OK', message: undefined } : fromStatus({ ...status, metadata: status.metadata ?? new Metadata() });
          ports.log.append(entry({ call: id, ends: name, code, message })).catch((error: Error) => ports.warn(`what came of ${name} is not on record: ${error.message}`));
        }
        next(status);
      })
      .build();
    return new ServerInterceptingCall(call, responder);
  };
}

/** Null for who calls in plain text, of whom nothing is known. */
function whoCalls(call: ServerInterceptingCallInterface): object | null {
  const { holder, serial } = callerOf(call);
  return holder === null ? null : { role: holder.role, name: holder.name, serial };
}

function textOf(message: unknown): unknown {
  const text = JSON.stringify(message, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value)) ?? 'null';
  return text.length <= REQUEST_LENGTH_MAX ? JSON.parse(text) : `${text.slice(0, REQUEST_LENGTH_MAX)}…`;
}
