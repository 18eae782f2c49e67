export { checkTimeout } from './check-timeout.js';
export { ERROR_CODES, type ErrorCode, type ErrorCodeInfo, type GrpcStatusName, isErrorCode } from './codes.js';
export { CoordinatorError, type CoordinatorErrorOptions } from './coordinator-error.js';
export { nearest } from './nearest.js';
