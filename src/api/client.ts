import { type ClientDuplexStream, Client, credentials, InterceptingCall, type Interceptor, RequesterBuilder, type ServiceError } from '@grpc/grpc-js';
import type { AgreedReplication, Causality, Delivery, EventInput, MemberChange, MemberStatus, Outcome, Receipt, ReplicationRules, SnapshotStream, Status } from '../contracts/index.js';
import { isLocal, parseAddress, parseToken, type TokenName } from '../config/index.js';
import { checkTimeout, CoordinatorError } from '../errors/index.js';
import { onAbort } from '../runtime/index.js';
import { AUTHORIZATION } from './caller.js';
import { RemoteCausality } from './causality.js';
import { decodeDelivery } from './codec-delivery.js';
import { fromStatus } from './codec-error.js';
import { encodeEvent } from './codec-event.js';
import { decodeReceipt, decodeResult, encodePublishOptions, type RemotePublishOptions } from './codec-publish.js';
import { decodeMember, decodeStatus } from './codec-status.js';
import { API_CODECS, type ApiCodec, clientMethod, MESSAGE_BYTES_MAX, type MethodName } from './schema.js';
import { remoteSnapshot } from './snapshot.js';
import { type RemoteSubscribeOptions, RemoteSubscription } from './subscription.js';
import { clientTls, type TlsFiles } from './tls.js';
import type {
  WireMembersResponse,
  WireOutcomeResponse,
  WirePublishResponse,
  WirePublishResults,
  WirePublishStreamRequest,
  WireReadBarrierResponse,
  WireReadResponse,
  WireRelatedEventsResponse,
  WireReplicationResponse,
  WireSaveSnapshotResponse,
  WireStatus,
  WireSubscribeRequest,
  WireSubscribeResponse,
} from './wire.js';

/** Over the request's own time, so that the node's answer comes before the deadline cuts the call. */
const DEADLINE_SLACK_MS = 1000;
const QUERY_TIMEOUT_MS = 10_000;
const SERVER_NAME = 'vexfs';

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Default 10,000. */
  readonly timeoutMs?: number;
}

export interface ApiClientOptions {
  /** Where nodes have `security.tls`: PEM texts of the authorities, and of the caller's certificate and its key unless it shows a token. */
  readonly tls?: TlsFiles | null;
  /** Where nodes have `security.api.tokens`: what `vexcoord token create` has made. */
  readonly token?: string | null;
  /** Lets the token go to other machines in plain text, where anybody on the way can take it. */
  readonly insecure?: boolean;
  /** What messages are written in; Protocol Buffers if nothing is said. A node of a release without MessagePack answers it with `UNAVAILABLE`. */
  readonly codec?: ApiCodec;
}

export type PublishStreamCall = ClientDuplexStream<WirePublishStreamRequest, WirePublishResults>;

/** One node's API seen from another process: contract types in and out, errors as `CoordinatorError`. */
export class ApiClient {
  readonly address: string;
  readonly #client: Client;
  readonly #codec: ApiCodec;

  /** `address` is `HOST:PORT` or `unix:PATH`. Nothing is connected before the first call. Throws `CERTIFICATE_INVALID`, `TOKEN_INVALID`, and `ADDRESS_REFUSED` for a token that would go to another machine in plain text. */
  constructor(address: string, { tls = null, token = null, insecure = false, codec = 'protobuf' }: ApiClientOptions = {}) {
    this.address = address;
    if (!API_CODECS.includes(codec)) throw new CoordinatorError('USAGE', `messages of the API are written in ${API_CODECS.join(' or ')}, not in ${JSON.stringify(codec)}`);
    this.#codec = codec;
    const name = token === null ? null : nameOf(token);
    const where = parseAddress(address);
    if (name !== null && tls === null && !insecure && !(where !== null && isLocal(where))) {
      throw new CoordinatorError('ADDRESS_REFUSED', `the token of ${JSON.stringify(name.name)} would go to ${address} in plain text, and anybody on the way could take it; give the authorities of TLS, or say that it may (insecure)`);
    }
    this.#client = new Client(address, tls === null ? credentials.createInsecure() : clientTls(tls, name), {
      interceptors: token === null ? [] : [showing(token)],
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 500,
      'grpc.enable_retries': 0,
      'grpc.enable_http_proxy': 0,
      'grpc.use_local_subchannel_pool': 1,
      // An address is no name that TLS may send, and nothing depends on it.
      'grpc.ssl_target_name_override': SERVER_NAME,
    });
  }

  async publish(event: EventInput, options: RemotePublishOptions & CallOptions = {}): Promise<Receipt> {
    const { signal, ...remote } = options;
    const request = { event: encodeEvent(event), options: encodePublishOptions(remote) };
    const answer = await this.#unary<WirePublishResponse>('Publish', request, options);
    if (answer.receipt === null) throw fromStatus(new Error('the node answered without a receipt'));
    return decodeReceipt(answer.receipt);
  }

  async publishBatch(
    events: readonly EventInput[],
    options: RemotePublishOptions & CallOptions = {},
  ): Promise<(Receipt | CoordinatorError)[]> {
    const { signal, ...remote } = options;
    const request = { events: events.map(encodeEvent), options: encodePublishOptions(remote) };
    const answer = await this.#unary<WirePublishResults>('PublishBatch', request, options);
    return answer.results.map(decodeResult);
  }

  /** The raw stream; `OrderedPublisher` makes it convenient. */
  publishStream(): PublishStreamCall {
    const { path, requestSerialize, responseDeserialize } = clientMethod<WirePublishStreamRequest, WirePublishResults>('PublishStream', this.#codec);
    return this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  }

  subscribe(options: RemoteSubscribeOptions = {}): RemoteSubscription {
    const { path, requestSerialize, responseDeserialize } = clientMethod<WireSubscribeRequest, WireSubscribeResponse>('Subscribe', this.#codec);
    return new RemoteSubscription(this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize), options);
  }

  async read(cursorOrEventId: string, options: CallOptions & { readonly group?: number } = {}): Promise<Delivery> {
    const answer = await this.#unary<WireReadResponse>('Read', { key: cursorOrEventId, group: options.group ?? 0 }, options);
    if (answer.delivery === null) throw fromStatus(new Error('the node answered without a delivery'));
    return decodeDelivery(answer.delivery, async () => {});
  }

  async readBarrier(options: CallOptions & { readonly group?: number; readonly after?: string } = {}): Promise<bigint> {
    const request = { group: options.group ?? 0, timeoutMs: options.timeoutMs ?? 0, ...(options.after === undefined ? {} : { after: options.after }) };
    return BigInt((await this.#unary<WireReadBarrierResponse>('ReadBarrier', request, options)).appliedIndex);
  }

  async outcome(eventId: string, options: CallOptions & { readonly group?: number } = {}): Promise<Outcome> {
    const request = { eventId, group: options.group ?? 0, timeoutMs: options.timeoutMs ?? 0 };
    const answer = await this.#unary<WireOutcomeResponse>('Outcome', request, options);
    const state = answer.state === 'STATE_COMMITTED' ? 'committed' : answer.state === 'STATE_ABSENT' ? 'absent' : 'unknown';
    return answer.receipt === null ? { state } : { state, receipt: decodeReceipt(answer.receipt) };
  }

  /** What happened before what in the causal lane, as far as it is delivered at the node. */
  get causality(): Causality {
    return new RemoteCausality({
      unary: (name, request, options) => this.#unary(name, request, options),
      stream: (name, request) => {
        const { path, requestSerialize, responseDeserialize } = clientMethod<object, WireRelatedEventsResponse>(name, this.#codec);
        return this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
      },
    });
  }

  async status(options: CallOptions = {}): Promise<Status> {
    return decodeStatus(await this.#unary<WireStatus>('Status', {}, options));
  }

  async listMembers(options: CallOptions = {}): Promise<MemberStatus[]> {
    return (await this.#unary<WireMembersResponse>('ListMembers', {}, options)).members.map(decodeMember);
  }

  addMember(id: string, address: string, options: CallOptions = {}): Promise<MemberChange> {
    return this.#changeMembers({ add: { id, address } }, options);
  }

  promoteMember(id: string, options: CallOptions = {}): Promise<MemberChange> {
    return this.#changeMembers({ promote: id }, options);
  }

  removeMember(id: string, options: CallOptions = {}): Promise<MemberChange> {
    return this.#changeMembers({ remove: id }, options);
  }

  replaceMember(oldId: string, newId: string, options: CallOptions = {}): Promise<MemberChange> {
    return this.#changeMembers({ replace: { oldId, newId } }, options);
  }

  async #changeMembers(change: object, options: CallOptions): Promise<MemberChange> {
    const answer = await this.#unary<WireMembersResponse>('ChangeMembers', { ...change, timeoutMs: options.timeoutMs ?? 0 }, options);
    return { index: BigInt(answer.index), settled: answer.settled, members: answer.members.map(decodeMember) };
  }

  /** Every group when none is named. */
  async transferLeadership(to: string, options: CallOptions & { readonly group?: number } = {}): Promise<void> {
    const group = options.group === undefined ? {} : { group: options.group };
    await this.#unary<object>('TransferLeadership', { to, ...group, timeoutMs: options.timeoutMs ?? 0 }, options);
  }

  /** The rules of replication as the node has applied them. */
  async replication(options: CallOptions = {}): Promise<AgreedReplication> {
    return agreedOf(await this.#unary<WireReplicationResponse>('Replication', {}, options));
  }

  /** Replaces all rules of replication. */
  async setReplication(rules: ReplicationRules, options: CallOptions = {}): Promise<AgreedReplication> {
    return agreedOf(await this.#unary<WireReplicationResponse>('SetReplication', { rulesJson: JSON.stringify(rules ?? null), timeoutMs: options.timeoutMs ?? 0 }, options));
  }

  /** Has the node take a snapshot of a group and send its file. */
  async saveSnapshot(options: CallOptions & { readonly group?: number } = {}): Promise<SnapshotStream> {
    const { path, requestSerialize, responseDeserialize } = clientMethod<object, WireSaveSnapshotResponse>('SaveSnapshot', this.#codec);
    const request = { group: options.group ?? 0, timeoutMs: options.timeoutMs === undefined ? 0 : checkTimeout(options.timeoutMs) };
    const call = this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
    const cancel = (): void => call.cancel();
    call.once('close', onAbort(options.signal, cancel));
    return remoteSnapshot(call);
  }

  close(): void {
    this.#client.close();
  }

  #unary<R>(name: MethodName, request: object, options: CallOptions): Promise<R> {
    const { path, requestSerialize, responseDeserialize } = clientMethod<object, R>(name, this.#codec);
    return new Promise((resolve, reject) => {
      const answered = (error: ServiceError | null, answer?: R): void => {
        forget();
        if (error === null && answer !== undefined) resolve(answer);
        else reject(fromStatus(error));
      };
      const deadline = Date.now() + checkTimeout(options.timeoutMs ?? QUERY_TIMEOUT_MS) + DEADLINE_SLACK_MS;
      const call = this.#client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, { deadline }, answered);
      const cancel = (): void => call.cancel();
      const forget = onAbort(options.signal, cancel);
      if (options.signal?.aborted) cancel();
    });
  }
}

function agreedOf({ version, rulesJson }: WireReplicationResponse): AgreedReplication {
  return { version: BigInt(version), ...(JSON.parse(rulesJson) as Omit<AgreedReplication, 'version'>) };
}

function nameOf(token: string): TokenName {
  const name = parseToken(token);
  if (name === null) throw new CoordinatorError('TOKEN_INVALID', 'what was given as a token is none; "vexcoord token create" makes one');
  return name;
}

/** Sends the token with every call. */
function showing(token: string): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(
      nextCall(options),
      new RequesterBuilder()
        .withStart((metadata, listener, next) => {
          metadata.set(AUTHORIZATION, `Bearer ${token}`);
          next(metadata, listener);
        })
        .build(),
    );
}
