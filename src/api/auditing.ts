/** Records what operators ask for before it is done, and what came of it. */
import { randomUUID } from 'node:crypto';
import { Metadata, ResponderBuilder, ServerInterceptingCall, type ServerInterceptor, ServerListenerBuilder, status as GrpcStatus } from '@grpc/grpc-js';
import { CoordinatorError } from '../errors/index.js';
import type { AuditLog } from './audit-log.js';
import type { Caller, Callers } from './caller.js';
import { fromStatus, toStatus } from './codec-error.js';
import { isForOperators } from './permissions.js';

/** Of a request as it is written down, in UTF-16 units: what operators ask for is short. */
const REQUEST_LENGTH_MAX = 4096;

export interface AuditPorts {
  readonly nodeId: string;
  readonly log: Pick<AuditLog, 'append'>;
  readonly callers: Callers;
  nowMs(): number;
  /** What came of a call is not on record. */
  warn(message: string): void;
}

export function auditing(ports: AuditPorts): ServerInterceptor {
  return ({ path }, call) => {
    if (!isForOperators(path)) return new ServerInterceptingCall(call);
    const entry = (fields: object): object => ({ at: new Date(ports.nowMs()).toISOString(), node: ports.nodeId, ...fields });
    const [id, name] = [randomUUID(), path.split('/').at(-1)];
    let [asked, ended, isCut] = [false, false, false];
    const end = (code: string, message: string | undefined): void => {
      if (ended) return;
      ended = true;
      ports.log.append(entry({ call: id, ends: name, code, message })).catch((error: Error) => ports.warn(`what came of ${name} is not on record: ${error.message}`));
    };
    let by: object | null = null;
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        const caller = ports.callers.of(call, metadata);
        // Who is not believed has been told so before.
        by = caller instanceof CoordinatorError ? null : whoCalls(caller);
        next(metadata);
      })
      .withOnReceiveMessage((message, next) => {
        ports.log.append(entry({ call: id, asks: name, by, from: call.getPeer(), request: textOf(message) })).then(
          () => {
            if (isCut) return end('ABORTED', 'the call was cut off before it began');
            asked = true;
            next(message);
          },
          (error: Error) => call.sendStatus(toStatus(new CoordinatorError('AUDIT_FAILED', `${name} is not done, since it cannot be recorded: ${error.message}`))),
        );
      })
      .withOnCancel(() => {
        isCut = true;
        // Also after its end, which is on record then.
        if (asked) end('ABORTED', 'the call was cut off; it may have been done all the same');
      })
      .build();
    const responder = new ResponderBuilder()
      .withStart((next) => next(listener))
      .withSendStatus((status, next) => {
        if (asked) {
          const { code, message } = status.code === GrpcStatus.OK ? { code: 'OK', message: undefined } : fromStatus({ ...status, metadata: status.metadata ?? new Metadata() });
          end(code, message);
        }
        next(status);
      })
      .build();
    return new ServerInterceptingCall(call, responder);
  };
}

/** Null for who calls where nobody has to say who he is. */
function whoCalls(caller: Caller | null): object | null {
  if (caller === null) return null;
  const { holder, serial, token } = caller;
  return { role: holder.role, name: holder.name, ...(token === null ? { via: 'certificate', serial } : { via: 'token' }) };
}

function textOf(message: unknown): unknown {
  const text = JSON.stringify(message, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value)) ?? 'null';
  return text.length <= REQUEST_LENGTH_MAX ? JSON.parse(text) : `${text.slice(0, REQUEST_LENGTH_MAX)}…`;
}
