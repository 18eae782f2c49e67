import type { PublishOptions, Receipt } from '../contracts/index.js';
import { checkTimeout, type CoordinatorError } from '../errors/index.js';
import { decodeCommitted, decodeConsistency, decodeLane, decodeLevel, encodeCommitted, encodeLane, encodeLevel } from './codec-names.js';
import { errorOf } from './codec-error.js';
import type { WireClock, WireError, WirePublishOptions, WirePublishResult, WireReceipt } from './wire.js';

/** The options a client can name; sessions and signals do not travel. */
export type RemotePublishOptions = Omit<PublishOptions, 'session' | 'signal' | 'timeoutMaxMs'>;

export function encodePublishOptions(options: RemotePublishOptions): WirePublishOptions {
  return {
    ...(options.consistency === undefined ? {} : { consistency: encodeLevel(options.consistency) }),
    ...(options.critical === undefined ? {} : { critical: options.critical }),
    ...(options.group === undefined ? {} : { group: options.group }),
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: Math.max(1, Math.round(checkTimeout(options.timeoutMs))) }),
    ...(options.quorumSize === undefined ? {} : options.quorumSize === 'all' ? { quorumAll: true } : { quorumSize: options.quorumSize }),
    ...(options.after === undefined ? {} : { after: options.after }),
    ...(options.protocol === undefined ? {} : { protocol: options.protocol }),
    ...(options.attempted ? { attempted: true } : {}),
    ...(options.maxStalenessMs === undefined ? {} : { maxStalenessMs: Math.max(0, Math.round(options.maxStalenessMs)) }),
  };
}

export function decodePublishOptions(wire: WirePublishOptions | null | undefined): RemotePublishOptions {
  if (wire === null || wire === undefined) return {};
  const level = decodeConsistency(wire.consistency);
  return {
    ...(level === null ? {} : { consistency: level }),
    ...(wire.critical ? { critical: true } : {}),
    ...(wire.group ? { group: wire.group } : {}),
    ...(wire.timeoutMs ? { timeoutMs: wire.timeoutMs } : {}),
    ...(wire.quorumAll ? { quorumSize: 'all' as const } : wire.quorumSize ? { quorumSize: wire.quorumSize } : {}),
    ...(wire.after ? { after: wire.after } : {}),
    ...(wire.protocol ? { protocol: wire.protocol } : {}),
    ...(wire.attempted ? { attempted: true } : {}),
    ...(wire.maxStalenessMs === undefined || wire.maxStalenessMs === null ? {} : { maxStalenessMs: wire.maxStalenessMs }),
  };
}

export function encodeReceipt(receipt: Receipt): WireReceipt {
  return {
    eventId: receipt.eventId,
    level: encodeLevel(receipt.level),
    requestedLevel: encodeLevel(receipt.requestedLevel),
    lane: encodeLane(receipt.lane),
    group: receipt.group,
    index: receipt.index.toString(),
    offset: receipt.offset,
    term: receipt.term.toString(),
    cursor: receipt.cursor,
    durableMembers: receipt.durableMembers,
    ...encodeClock(receipt.clock),
    hlc: receipt.hlc.toString(),
    degraded: receipt.degraded,
    ...(receipt.rule === null ? {} : { rule: receipt.rule }),
    ...(receipt.certificate === null ? {} : { certificate: receipt.certificate }),
    duplicate: receipt.duplicate,
    latencyUs: Math.max(0, Math.round(receipt.latencyUs)).toString(),
  };
}

export function decodeReceipt(wire: WireReceipt): Receipt {
  return {
    eventId: wire.eventId,
    level: decodeLevel(wire.level) ?? 'linearizable',
    requestedLevel: decodeLevel(wire.requestedLevel) ?? 'linearizable',
    lane: decodeLane(wire.lane),
    group: wire.group,
    index: BigInt(wire.index),
    offset: wire.offset,
    term: BigInt(wire.term),
    cursor: wire.cursor,
    durableMembers: wire.durableMembers,
    clock: decodeClock(wire.clock),
    hlc: BigInt(wire.hlc),
    degraded: wire.degraded,
    rule: wire.rule ?? null,
    certificate: wire.certificate ?? null,
    duplicate: wire.duplicate,
    latencyUs: Number(wire.latencyUs),
  };
}

export function encodeResult(number: string, result: Receipt | CoordinatorError): WirePublishResult {
  return result instanceof Error ? { number, error: encodeError(result) } : { number, receipt: encodeReceipt(result) };
}

export function decodeResult(wire: WirePublishResult): Receipt | CoordinatorError {
  if (wire.receipt) return decodeReceipt(wire.receipt);
  const { code, message, committed } = wire.error ?? { code: 'INTERNAL', message: 'an answer without a result', committed: '' };
  return errorOf(code, message, decodeCommitted(committed));
}

export function encodeError(error: CoordinatorError): WireError {
  return { code: error.code, message: error.message, committed: encodeCommitted(error.committed) };
}

export function encodeClock(clock: { readonly [actor: string]: string } | null): { clock?: WireClock } {
  return clock === null ? {} : { clock: { counters: { ...clock } } };
}

export function decodeClock(wire: WireClock | null | undefined): { readonly [actor: string]: string } | null {
  return wire ? { ...wire.counters } : null;
}
