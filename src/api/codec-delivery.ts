import type { Delivery, JsonValue, OrderedEvent } from '../contracts/index.js';
import { decodeLane, decodeLevel, encodeLane, encodeLevel } from './codec-names.js';
import { decodeClock, encodeClock } from './codec-publish.js';
import type { WireDelivery, WireOrderedEvent } from './wire.js';

export function encodeDelivery(number: bigint, delivery: Delivery): WireDelivery {
  return {
    number: number.toString(),
    cursor: delivery.cursor,
    index: delivery.index.toString(),
    offset: delivery.offset,
    term: delivery.term.toString(),
    group: delivery.group,
    lane: encodeLane(delivery.lane),
    level: encodeLevel(delivery.level),
    redelivered: delivery.redelivered,
    ...(delivery.fencingToken === null ? {} : { fencingToken: delivery.fencingToken.toString() }),
    ...encodeClock(delivery.clock),
    headOnly: !delivery.held,
    event: encodeOrderedEvent(delivery.event),
  };
}

/** `ack` is what the caller's stream does with an acknowledgement. */
export function decodeDelivery(wire: WireDelivery, ack: () => Promise<void>): Delivery {
  return {
    cursor: wire.cursor,
    index: BigInt(wire.index),
    offset: wire.offset,
    term: BigInt(wire.term),
    group: wire.group,
    lane: decodeLane(wire.lane),
    level: decodeLevel(wire.level) ?? 'linearizable',
    redelivered: wire.redelivered,
    fencingToken: wire.fencingToken === undefined ? null : BigInt(wire.fencingToken),
    clock: decodeClock(wire.clock),
    held: !wire.headOnly,
    event: decodeOrderedEvent(wire.event),
    ack,
  };
}

/** Roughly the bytes of a delivery on the wire: what stream budgets count. */
export function deliveryBytes(delivery: Delivery): number {
  const { path, to, payload, metadata, context } = delivery.event;
  const json = (value: JsonValue | null): number => (value === null ? 0 : JSON.stringify(value).length);
  return 240 + (path?.length ?? 0) + (to?.length ?? 0) + payload.byteLength + json(metadata) + json(context);
}

function encodeOrderedEvent(event: OrderedEvent): WireOrderedEvent {
  return {
    id: event.id,
    type: event.type,
    code: event.code,
    origin: event.origin,
    ...(event.session === null ? {} : { session: event.session }),
    sequence: event.sequence.toString(),
    ...(event.path === null ? {} : { path: event.path }),
    ...(event.to === null ? {} : { to: event.to }),
    payload: event.payload,
    ...(event.metadata === null ? {} : { metadataJson: JSON.stringify(event.metadata) }),
    priority: event.priority,
    flags: event.flags,
    ...(event.sourceId === null ? {} : { sourceId: event.sourceId.toString() }),
    ...(event.context === null ? {} : { contextJson: JSON.stringify(event.context) }),
    hlc: event.hlc.toString(),
  };
}

function decodeOrderedEvent(wire: WireOrderedEvent | null): OrderedEvent {
  if (wire === null) throw new Error('a delivery without an event');
  return {
    id: wire.id,
    type: wire.type,
    code: wire.code,
    origin: wire.origin,
    session: wire.session ?? null,
    sequence: BigInt(wire.sequence),
    path: wire.path ?? null,
    to: wire.to ?? null,
    payload: wire.payload,
    metadata: wire.metadataJson === undefined ? null : (JSON.parse(wire.metadataJson) as JsonValue),
    priority: wire.priority,
    flags: wire.flags,
    sourceId: wire.sourceId === undefined ? null : BigInt(wire.sourceId),
    context: wire.contextJson === undefined ? null : (JSON.parse(wire.contextJson) as JsonValue),
    hlc: BigInt(wire.hlc),
  };
}
