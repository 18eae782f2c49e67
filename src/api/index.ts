export { ApiClient, type ApiClientOptions, type CallOptions } from './client.js';
export type { RemotePublishOptions } from './codec-publish.js';
export { OrderedPublisher, type OrderedPublisherOptions } from './ordered-publisher.js';
export { isRetryable } from './retry.js';
export { RoundRobinPublisher, type RoundRobinPublisherOptions } from './round-robin-publisher.js';
export { ApiServer, type ApiServerOptions, type ServedCertificates, type ServedTokens } from './server.js';
export type { TlsFiles } from './tls.js';
export { type RemoteSubscribeOptions, RemoteSubscription } from './subscription.js';
