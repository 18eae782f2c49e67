import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';
import type { Holder } from '../config/index.js';
import { canonicalSerial, holderOfNames } from '../network/index.js';

/** Who calls, as the certificate of the connection says. */
export interface Caller {
  readonly serial: string;
  /** Null where there is no certificate, or one that names nobody of ours. */
  readonly holder: Holder | null;
  readonly notAfterMs: number;
}

export function callerOf(call: ServerInterceptingCallInterface): Caller {
  const certificate = call.getAuthContext().sslPeerCertificate;
  if (certificate === undefined) return { serial: '', holder: null, notAfterMs: 0 };
  return { serial: canonicalSerial(certificate.serialNumber), holder: holderOfNames(certificate.subjectaltname), notAfterMs: Date.parse(certificate.valid_to) };
}
