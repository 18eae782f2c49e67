export { parseOperation, type TraceOperation } from './operation.js';
export { countOperations, readTrace, type TraceEventOptions, traceEvents, type TraceLine } from './read-trace.js';
export { type RecordOptions, type RecordResult, recordCommand } from './record.js';
export { StraceTranslator } from './strace-translator.js';
export { eventOfOperation, type TraceEvent } from './trace-event.js';
