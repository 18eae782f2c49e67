export { APPLICATION_CODE_MIN, CATEGORIES, Catalogue, type Category, EVENT_FLAGS, EVENT_PRIORITIES, EVENT_TYPES } from './catalogue.js';
export { CursorCodec, type CursorPosition } from './cursor.js';
export { type DeliveryContext, DeliveryReader } from './delivery-reader.js';
export { GrowingBuffer } from './growing-buffer.js';
export { deliveryToJson, eventFromJson, jsonOf, outcomeToJson, receiptToJson, statusToJson } from './json.js';
export { type ConsumerRequest, type EventsRequest, type PackedEvents, type SubmissionHeader, SubmissionWriter } from './submission-writer.js';
export { EventIds, formatUuid, type IdPorts, newEventId, parseUuid, writeUuid } from './uuid.js';
export { type Filter, filterOf, parseWhere } from './where.js';
